// Topological order cut at equal shares of memory: a placement for tight limits.
#pragma once

#include <cstdint>
#include <vector>

#include "place/cluster.h"
#include "place/memory.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::place {

// What planners need to know of every group of tasks.
struct GroupFacts {
  std::vector<int64_t> resident;  // bytes held for the whole step
  std::vector<int32_t> pin;       // device, or -1
};

// Groups in topological order, cut where the equal share of what must be held is reached; devices
// with less memory get less.
Schedule MemorySplit(const TaskGraph& tasks, const Cluster& cluster, const MemorySizes& sizes,
                     const GroupFacts& facts);

}  // namespace orchard::place
