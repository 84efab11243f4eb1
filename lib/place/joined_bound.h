// A lower bound from what cannot be cut: by memory, and by communication that costs too much.
#pragma once

#include <cstdint>
#include <vector>

#include "place/cluster.h"
#include "place/task_graph.h"

namespace orchard::place {

// No schedule in which groups stay together and every device holds no more than its memory is
// faster. `resident`: bytes that each task holds all the time.
//
// Proof. Let T be the makespan of such a schedule, and for an edge e = (h, j) let
//   through(e) = longest compute path up to and with h + cheapest transfer of e
//              + longest compute path from j on.
// An edge whose ends are on two devices is on a path of that length, so through(e) <= T. All edges
// with through(e) > T, and all groups, therefore join their ends on one device: a component joined
// by them is on one device as a whole, which must hold it and takes its compute one after the
// other. So T meets (1) every component's resident bytes fit some device, and (2) every component's
// compute on its best device is T at most. Both conditions still hold for any larger T, since fewer
// edges join. The smallest T that meets them is hence no larger than any makespan.
//
// With parallel links a transfer of e takes as long as its largest tensor; else, as tensors of one
// edge share the sender's channel, the sum. O(E log E).
Time JoinedBound(const TaskGraph& tasks, const Cluster& cluster,
                 const std::vector<int64_t>& resident);

}  // namespace orchard::place
