// Which forward operators of a training step run again in the backward pass, so that it fits.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "place/plan.h"

namespace orchard::place {

using RecomputeSegments = std::vector<std::vector<int32_t>>;

// Segments of up to `size` forward operators, neighbours in topological order on one device of
// those that `over` marks, by rising price: time to compute again per byte that is dropped. Their
// order is such that any first ones of them make a step without a cycle. `step` has one
// micro-batch, `device` is of the forward operators.
RecomputeSegments PricedSegments(const Problem& step, const std::vector<int32_t>& device,
                                 const std::vector<uint8_t>& over, int32_t size);

// Tries segments of several sizes, of each size as few as fit: `fits` runs a step with segments and
// says whether it keeps the limits. All that fit were seen by `fits`.
void FitByRecomputing(const Problem& step, const std::vector<int32_t>& device,
                      const std::vector<uint8_t>& over,
                      const std::function<bool(const RecomputeSegments&)>& fits);

}  // namespace orchard::place
