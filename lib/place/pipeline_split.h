// Contiguous splits of a forward graph into pipeline stages (after PipeDream, Narayanan et al.,
// 2019).
#pragma once

#include <cstdint>
#include <vector>

#include "place/plan.h"

namespace orchard::place {

// Cuts the groups of a step's forward operators, in topological order, into `stages` intervals for
// devices 0 .. stages - 1, such that the largest load is smallest: compute of all passes of one
// micro-batch and, with `count_transfers`, what is sent to and from the stage. Pinned groups stay
// on their devices. Returns the device of every forward operator.
std::vector<int32_t> SplitPipeline(const Problem& step, int32_t stages, bool count_transfers);

}  // namespace orchard::place
