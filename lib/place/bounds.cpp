#include "place/bounds.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "place/joined_bound.h"
#include "place/levels.h"

namespace orchard::place {
namespace {

Time Longest(const std::vector<Time>& bottom) {
  return bottom.empty() ? 0 : *std::max_element(bottom.begin(), bottom.end());
}

// All compute over all devices: what a device can do per unit of time is its speed, or, where times
// per device are stated, at most as if every task ran on its fastest.
Time WorkBound(const TaskGraph& tasks, const Cluster& cluster) {
  double sum = 0, speed = 0;
  if (tasks.work_on.empty()) {
    sum = static_cast<double>(tasks.TotalWork());
    for (const Device& device : cluster.devices) speed += device.speed;
    // Work on a device of another speed is rounded by half a nanosecond a task at most.
    const bool exact = std::all_of(cluster.devices.begin(), cluster.devices.end(),
                                   [](const Device& device) { return device.speed == 1; });
    if (!exact) sum -= tasks.size() * speed / 2;
  } else {
    for (Time least : tasks.LeastWork(cluster)) sum += static_cast<double>(least);
    speed = cluster.size();
  }
  return std::max<Time>(0, static_cast<Time>(std::ceil(sum / speed - 1e-6)));
}

}  // namespace

LowerBound ComputeLowerBound(const TaskGraph& tasks, const Cluster& cluster) {
  LowerBound bound;
  bound.critical_path = Longest(PathLevels(tasks, cluster, tasks.LeastWork(cluster), 0).bottom);
  bound.work = WorkBound(tasks, cluster);
  return bound;
}

LowerBound ComputeLowerBound(const TaskGraph& tasks, const Cluster& cluster,
                             const std::vector<int64_t>& resident) {
  LowerBound bound = ComputeLowerBound(tasks, cluster);
  bound.joined = JoinedBound(tasks, cluster, resident);
  return bound;
}

MemoryRatio FindMemoryRatio(const SctRegime& regime, const Cluster& cluster,
                            const std::vector<int64_t>& resident) {
  MemoryRatio ratio;
  const int64_t memory = cluster.devices[0].memory;
  const bool equal = std::all_of(cluster.devices.begin(), cluster.devices.end(),
                                 [&](const Device& device) { return device.memory == memory; });
  const int64_t sum = std::accumulate(resident.begin(), resident.end(), int64_t{0});
  const int64_t largest =
      resident.empty() ? 0 : *std::max_element(resident.begin(), resident.end());
  if (!regime.holds || !equal || memory == INT64_MAX || memory <= largest) return ratio;
  const int64_t left = cluster.size() - sum / (memory - largest);
  if (left < 1) return ratio;
  ratio.holds = true;
  ratio.devices = static_cast<int32_t>(left);
  const double n = cluster.size(), some = ratio.devices;
  ratio.etf_ratio = n / some + 1 - 1 / some + regime.rho;
  ratio.sct_ratio = n / some + (1 - 1 / some) * 2 * (1 + regime.rho) / (2 + regime.rho);
  return ratio;
}

SctRegime FindSctRegime(const TaskGraph& tasks, const Cluster& cluster) {
  SctRegime regime;
  Time least = kNever, most = 0;
  for (Time work : tasks.work) {
    if (work > 0) least = std::min(least, work);
  }
  for (size_t e = 0; e < tasks.edges.size(); ++e)
    most = std::max(most, EdgeCost(tasks, cluster, static_cast<int32_t>(e)));
  regime.rho = static_cast<double>(most) / static_cast<double>(least);
  regime.holds = regime.rho <= 1 && cluster.uniform() && tasks.work_on.empty();
  const double n = cluster.size();
  regime.etf_ratio = 2 - 1 / n + regime.rho;
  regime.sct_ratio = 1 + (1 - 1 / n) * 2 * (1 + regime.rho) / (2 + regime.rho);
  return regime;
}

Time EtfGuarantee(const TaskGraph& tasks, const Cluster& cluster) {
  const double n = cluster.size();
  const std::vector<Time> nothing(tasks.size(), 0);
  const Time path = Longest(PathLevels(tasks, cluster, tasks.work, 0).bottom);
  const Time communication = Longest(PathLevels(tasks, cluster, nothing, 1).bottom);
  const double bound = static_cast<double>(tasks.TotalWork()) / n +
                       (1 - 1 / n) * static_cast<double>(path) + static_cast<double>(communication);
  return static_cast<Time>(std::ceil(bound + 1e-6));
}

}  // namespace orchard::place
