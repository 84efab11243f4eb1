#include "place/m_topo.h"

#include <algorithm>
#include <numeric>

namespace orchard::place {
namespace {

std::vector<int32_t> ByTopo(const TaskGraph& tasks) {
  std::vector<int32_t> order(tasks.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](int32_t a, int32_t b) { return tasks.topo[a] < tasks.topo[b]; });
  return order;
}

// temp + outputs of every task over the number of devices, and room for the largest.
int64_t EqualShare(const TaskGraph& tasks, int32_t devices) {
  int64_t total = 0, largest = 0;
  for (int32_t i = 0; i < tasks.size(); ++i) {
    total += tasks.temp[i] + tasks.out[i];
    largest = std::max(largest, tasks.temp[i] + tasks.out[i]);
  }
  return total / devices + largest;
}

// What the test of a whole group counts, which is not what is charged for it.
std::vector<int64_t> GroupNeeds(const TaskGraph& tasks) {
  std::vector<int64_t> perm(tasks.groups, 0), temp(tasks.groups, 0);
  for (int32_t i = 0; i < tasks.size(); ++i) {
    perm[tasks.group[i]] += tasks.perm[i];
    temp[tasks.group[i]] = std::max(temp[tasks.group[i]], tasks.temp[i]);
  }
  for (int32_t g = 0; g < tasks.groups; ++g) perm[g] += temp[g];
  return perm;
}

}  // namespace

Schedule MTopo(const TaskGraph& tasks, const Cluster& cluster, const TopoOptions& options) {
  Schedule result;
  result.device.assign(tasks.size(), -1);
  const int64_t share = EqualShare(tasks, cluster.size());
  const auto limit = [&](int32_t d) {
    const int64_t memory = cluster.devices[d].memory;
    if (options.fill) return memory;
    return options.hard_limit ? std::min(share, memory) : share;
  };
  const std::vector<int64_t> group_need = GroupNeeds(tasks);
  const std::vector<std::vector<int32_t>> members = tasks.TasksOfGroups();
  int32_t d = 0;
  int64_t used = 0;
  for (int32_t i : ByTopo(tasks)) {
    if (result.device[i] >= 0) continue;
    const int64_t need = options.groups ? group_need[tasks.group[i]] : tasks.temp[i] + tasks.out[i];
    // The published code tests groups strictly against the equal share, and all else with equality.
    const auto fits = [&] {
      return options.groups && !options.fill ? used + need < limit(d) : used + need <= limit(d);
    };
    while (d < cluster.size() && !fits()) {
      ++d;
      used = 0;
    }
    if (d == cluster.size()) return result;
    const std::vector<int32_t> alone = {i};
    for (int32_t j : options.groups ? members[tasks.group[i]] : alone) {
      result.device[j] = d;
      used += tasks.temp[j] + tasks.out[j];
      ++result.placed;
    }
  }
  return result;
}

}  // namespace orchard::place
