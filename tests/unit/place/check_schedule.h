// What every schedule must satisfy, checked from the definition: nothing is simulated here.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "place/cluster.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::place {

// The first rule that is broken, in words; empty when all hold.
inline std::string Violation(const TaskGraph& tasks, const Cluster& cluster,
                             const Schedule& schedule) {
  std::map<std::pair<int32_t, int32_t>, Transfer> sent;
  for (const Transfer& t : schedule.transfers) {
    if (!sent.emplace(std::pair(t.tensor, t.dst), t).second)
      return fmt::format("tensor {} goes to device {} twice", t.tensor, t.dst);
    const int32_t producer = tasks.tensors[t.tensor].producer;
    if (schedule.device[producer] != t.src || t.src == t.dst)
      return fmt::format("tensor {} is sent from where it is not", t.tensor);
    if (t.start < schedule.end[producer])
      return fmt::format("tensor {} is sent before it exists", t.tensor);
    if (t.end - t.start != tasks.Cost(cluster, t.tensor, t.src, t.dst))
      return fmt::format("tensor {} takes {} to send", t.tensor, t.end - t.start);
  }
  for (size_t e = 0; e < tasks.edges.size(); ++e) {
    const auto [h, j] = tasks.edges[e];
    if (schedule.device[h] == schedule.device[j]) {
      if (schedule.start[j] < schedule.end[h]) return fmt::format("task {} starts before {}", j, h);
      continue;
    }
    for (int32_t t : tasks.TensorsOf(static_cast<int32_t>(e))) {
      const auto transfer = sent.find({t, schedule.device[j]});
      if (transfer == sent.end()) return fmt::format("tensor {} never comes to task {}", t, j);
      if (transfer->second.end > schedule.start[j])
        return fmt::format("task {} starts before tensor {} is there", j, t);
    }
  }
  // Intervals that must not overlap: operators of a device, and what holds a channel.
  std::map<std::pair<int, int32_t>, std::vector<std::pair<Time, Time>>> exclusive;
  for (int32_t i = 0; i < tasks.size(); ++i) {
    if (schedule.end[i] - schedule.start[i] != tasks.WorkOn(cluster, i, schedule.device[i]))
      return fmt::format("task {} takes {}", i, schedule.end[i] - schedule.start[i]);
    exclusive[{0, schedule.device[i]}].emplace_back(schedule.start[i], schedule.end[i]);
  }
  if (cluster.comm != Comm::kParallel) {
    for (const Transfer& t : schedule.transfers) {
      exclusive[{1, t.src}].emplace_back(t.start, t.end);
      exclusive[{cluster.comm == Comm::kHalf ? 1 : 2, t.dst}].emplace_back(t.start, t.end);
    }
  }
  for (auto& [what, intervals] : exclusive) {
    std::sort(intervals.begin(), intervals.end());
    for (size_t k = 1; k < intervals.size(); ++k) {
      if (intervals[k].first < intervals[k - 1].second)
        return fmt::format("device {} does two things at once ({})", what.second, what.first);
    }
  }
  for (int32_t i = 0; i < tasks.size(); ++i) {
    for (int32_t j = 0; j < i; ++j) {
      if (tasks.group[i] == tasks.group[j] && schedule.device[i] != schedule.device[j])
        return fmt::format("tasks {} and {} share a group and no device", i, j);
    }
  }
  return "";
}

}  // namespace orchard::place
