// Longest paths through the graph: criticality, ranks and the first lower bounds.
#pragma once

#include <cstdint>
#include <vector>

#include "place/cluster.h"
#include "place/task_graph.h"

namespace orchard::place {

// The tasks in topological order.
std::vector<int32_t> TopologicalTasks(const TaskGraph& tasks);

// Mean cost of an edge between two different devices: of its largest tensor where they travel at
// once, else of their sum.
Time EdgeCost(const TaskGraph& tasks, const Cluster& cluster, int32_t edge);
Time SummedEdgeCost(const TaskGraph& tasks, const Cluster& cluster, int32_t edge);

struct Levels {
  std::vector<Time> top;     // longest path to the start of each task, communication included
  std::vector<Time> bottom;  // longest path from the start of each task to the end
};

// `work` of each task; `communication` scales the costs of edges: 0 for compute alone.
Levels PathLevels(const TaskGraph& tasks, const Cluster& cluster, const std::vector<Time>& work,
                  double communication = 1);

}  // namespace orchard::place
