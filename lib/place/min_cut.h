// Graph partitioning as a placement: METIS.
#pragma once

#include <cstdint>
#include <vector>

#include "place/task_graph.h"

namespace orchard::place {

// Device of every group: METIS k-way (Karypis and Kumar, 1998) with vertices weighing a group's
// work, edges the transfers between two groups, and 5 % imbalance. It knows neither order nor
// memory. Times are scaled to METIS' whole numbers so that all of them sum to 2^30 at most; what
// takes time weighs 1 at least. The same in every run.
std::vector<int32_t> MinCut(const TaskGraph& tasks, const Cluster& cluster);

}  // namespace orchard::place
