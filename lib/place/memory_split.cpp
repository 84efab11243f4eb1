#include "place/memory_split.h"

#include <algorithm>

#include "place/levels.h"

namespace orchard::place {

Schedule MemorySplit(const TaskGraph& tasks, const Cluster& cluster, const MemorySizes& sizes,
                     const GroupFacts& facts) {
  Schedule plan;
  plan.device.assign(tasks.size(), -1);
  plan.placed = tasks.size();
  std::vector<int64_t> weight(tasks.groups, 0);
  int64_t total = 0;
  double room = 0;
  for (int32_t i = 0; i < tasks.size(); ++i) weight[tasks.group[i]] += tasks.out[i];
  for (int32_t g = 0; g < tasks.groups; ++g) total += weight[g] += facts.resident[g];
  std::vector<double> share;
  for (const Device& device : cluster.devices)
    share.push_back(room += static_cast<double>(std::min(device.memory, sizes.Everything())));
  int64_t sum = 0;
  std::vector<int32_t> of_group(tasks.groups, -1);
  int32_t d = 0;
  for (int32_t i : TopologicalTasks(tasks)) {
    int32_t& device = of_group[tasks.group[i]];
    if (device < 0) {
      const double middle =
          static_cast<double>(sum) + static_cast<double>(weight[tasks.group[i]]) / 2;
      while (d + 1 < cluster.size() && middle * room > share[d] * static_cast<double>(total)) ++d;
      device = facts.pin[tasks.group[i]] >= 0 ? facts.pin[tasks.group[i]] : d;
      sum += weight[tasks.group[i]];
    }
    plan.device[i] = device;
  }
  return plan;
}

}  // namespace orchard::place
