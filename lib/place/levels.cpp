#include "place/levels.h"

#include <algorithm>
#include <cmath>

#include "place/topology.h"

namespace orchard::place {

std::vector<int32_t> TopologicalTasks(const TaskGraph& tasks) {
  return TopologicalOrder(tasks.edges, tasks.out_begin);
}

Time SummedEdgeCost(const TaskGraph& tasks, const Cluster& cluster, int32_t edge) {
  Time cost = 0;
  for (int32_t t : tasks.TensorsOf(edge))
    cost += cluster.MeanCost(tasks.tensors[t].bytes, tasks.tensors[t].us);
  return cost;
}

Time EdgeCost(const TaskGraph& tasks, const Cluster& cluster, int32_t edge) {
  if (cluster.comm != Comm::kParallel) return SummedEdgeCost(tasks, cluster, edge);
  Time cost = 0;
  for (int32_t t : tasks.TensorsOf(edge))
    cost = std::max(cost, cluster.MeanCost(tasks.tensors[t].bytes, tasks.tensors[t].us));
  return cost;
}

Levels PathLevels(const TaskGraph& tasks, const Cluster& cluster, const std::vector<Time>& work,
                  double communication) {
  Levels levels;
  levels.top.assign(tasks.size(), 0);
  levels.bottom.assign(tasks.size(), 0);
  std::vector<Time> cost(tasks.edges.size(), 0);
  if (communication != 0) {
    for (size_t e = 0; e < cost.size(); ++e) {
      const Time full = EdgeCost(tasks, cluster, static_cast<int32_t>(e));
      cost[e] = communication == 1 ? full : std::llrint(static_cast<double>(full) * communication);
    }
  }
  const std::vector<int32_t> order = TopologicalTasks(tasks);
  for (int32_t i : order) {
    for (int32_t e = tasks.out_begin[i]; e < tasks.out_begin[i + 1]; ++e) {
      Time& top = levels.top[tasks.edges[e].dst];
      top = std::max(top, levels.top[i] + work[i] + cost[e]);
    }
  }
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    Time longest = 0;
    for (int32_t e = tasks.out_begin[*at]; e < tasks.out_begin[*at + 1]; ++e)
      longest = std::max(longest, cost[e] + levels.bottom[tasks.edges[e].dst]);
    levels.bottom[*at] = work[*at] + longest;
  }
  return levels;
}

}  // namespace orchard::place
