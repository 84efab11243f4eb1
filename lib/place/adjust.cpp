#include "place/adjust.h"

#include <algorithm>
#include <numeric>

namespace orchard::place {
namespace {

int64_t Memory(const TaskGraph& tasks, int32_t task) { return tasks.temp[task] + tasks.perm[task]; }

// How much speaks for each device, by the members that are there.
std::vector<int64_t> Scores(const TaskGraph& tasks, const std::vector<int32_t>& members,
                            const std::vector<int32_t>& device, int32_t devices, Adjust adjust) {
  std::vector<int64_t> score(devices, -1);
  for (int32_t i : members) {
    int64_t& s = score[device[i]];
    switch (adjust) {
      case Adjust::kNone:
      case Adjust::kRandom:
        if (i == members[0]) s = 1;
        s = std::max<int64_t>(s, 0);
        break;
      case Adjust::kMemory:
        s = std::max(s, Memory(tasks, i));
        break;
      case Adjust::kTime:
        s = std::max(s, tasks.work[i]);
        break;
      case Adjust::kFrequent:
        s = std::max<int64_t>(s, 0) + 1;
        break;
      case Adjust::kMemorySum:
        s = std::max<int64_t>(s, 0) + Memory(tasks, i);
        break;
      case Adjust::kTimeSum:
        s = std::max<int64_t>(s, 0) + tasks.work[i];
        break;
    }
  }
  return score;
}

}  // namespace

int32_t AdjustGroups(const TaskGraph& tasks, const Cluster& cluster, Adjust adjust, bool limited,
                     std::vector<int32_t>& device) {
  std::vector<int64_t> used(cluster.size(), 0);
  for (int32_t i = 0; i < tasks.size(); ++i) used[device[i]] += Memory(tasks, i);
  const std::vector<std::vector<int32_t>> groups = tasks.TasksOfGroups();
  for (int32_t g = 0; g < tasks.groups; ++g) {
    const std::vector<int64_t> score = Scores(tasks, groups[g], device, cluster.size(), adjust);
    std::vector<int32_t> order(cluster.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return score[a] > score[b]; });
    int32_t chosen = -1;
    for (int32_t d : order) {
      if (score[d] < 0) break;  // no member is there
      int64_t moving = 0;
      for (int32_t i : groups[g]) moving += device[i] == d ? 0 : Memory(tasks, i);
      if (limited && used[d] + moving > cluster.devices[d].memory) continue;
      chosen = d;
      break;
    }
    if (chosen < 0) return g;
    for (int32_t i : groups[g]) {
      used[device[i]] -= Memory(tasks, i);
      used[chosen] += Memory(tasks, i);
      device[i] = chosen;
    }
  }
  return -1;
}

}  // namespace orchard::place
