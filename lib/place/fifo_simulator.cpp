#include "place/fifo_simulator.h"

#include <algorithm>
#include <queue>
#include <tuple>

#include "place/channels.h"

namespace orchard::place {
namespace {

struct Ready {
  Time time;
  int32_t topo, task;
  bool operator>(const Ready& other) const {
    return std::tie(time, topo) > std::tie(other.time, other.topo);
  }
};

}  // namespace

Schedule SimulateFifo(const TaskGraph& tasks, const Cluster& cluster,
                      const std::vector<int32_t>& device) {
  Schedule result;
  result.device = device;
  result.placed = tasks.size();
  result.start.assign(tasks.size(), 0);
  result.end.assign(tasks.size(), 0);
  result.order.resize(cluster.size());
  result.peak.assign(cluster.size(), 0);
  Channels channels(tasks, cluster, /*merge_estimates=*/true);
  std::vector<Time> available(cluster.size(), 0), ready(tasks.size(), 0);
  std::vector<int64_t> used(cluster.size(), 0);
  std::vector<int32_t> inputs_left(tasks.size()), readers_left(tasks.size());
  std::priority_queue<Ready, std::vector<Ready>, std::greater<>> queue;
  for (int32_t i = 0; i < tasks.size(); ++i) {
    inputs_left[i] = tasks.in_begin[i + 1] - tasks.in_begin[i];
    readers_left[i] = tasks.out_begin[i + 1] - tasks.out_begin[i];
    if (inputs_left[i] == 0) queue.push({0, tasks.topo[i], i});
  }
  while (!queue.empty()) {
    const int32_t i = queue.top().task, d = device[i];
    queue.pop();
    result.start[i] = std::max(available[d], ready[i]);
    result.end[i] = available[d] = result.start[i] + tasks.WorkOn(cluster, i, d);
    result.makespan = std::max(result.makespan, result.end[i]);
    result.order[d].push_back(i);
    used[d] += tasks.out[i];
    result.peak[d] = std::max(result.peak[d], used[d] + tasks.temp[i]);
    for (int32_t e : tasks.InEdges(i)) {
      const int32_t h = tasks.edges[e].src;
      if (--readers_left[h] == 0) used[device[h]] -= tasks.out[h] - tasks.perm[h];
    }
    for (int32_t e = tasks.out_begin[i]; e < tasks.out_begin[i + 1]; ++e) {
      const int32_t j = tasks.edges[e].dst;
      ready[j] =
          std::max(ready[j], channels.Commit(e, d, device[j], result.end[i], &result.transfers));
      if (--inputs_left[j] == 0) queue.push({ready[j], tasks.topo[j], j});
    }
  }
  return result;
}

}  // namespace orchard::place
