// When tensors can be on a device, given what was sent before: the channels and caches of a list
// scheduler and of the official simulator, which grant channels in the order of decisions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "place/cluster.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::place {

class Channels {
 public:
  // `merge_estimates`: an edge of several tensors counts as one transfer of their summed costs in
  // estimates even with parallel communication, as published.
  Channels(const TaskGraph& tasks, const Cluster& cluster, bool merge_estimates)
      : tasks_(tasks),
        cluster_(cluster),
        devices_(cluster.size()),
        send_(devices_, 0),
        receive_(devices_, 0) {
    if (cluster.comm != Comm::kParallel || merge_estimates)
      arrival_.assign(tasks.tensors.size() * devices_, kAbsent);
  }

  // When all tensors of `edge` could be on device `dst`, if its producer ended at `end` on `src`.
  // Those that are not there yet count as one transfer; nothing is reserved.
  Time Estimate(int32_t edge, int32_t src, int32_t dst, Time end) const {
    if (src == dst) return end;
    if (arrival_.empty()) return Independent(edge, src, dst, end);
    Time cost = 0, there = end;
    bool send = false;
    for (int32_t t : tasks_.TensorsOf(edge)) {
      const Time arrived = arrival_[static_cast<size_t>(t) * devices_ + dst];
      if (arrived != kAbsent) {
        there = std::max(there, arrived);
      } else {
        cost += tasks_.Cost(cluster_, t, src, dst);
        send = true;
      }
    }
    if (!send) return there;
    return std::max(there, std::max({end, send_[src], Receive(dst)}) + cost);
  }

  // Sends what is not there yet, one tensor after the other, and returns when all of it is there.
  // `transfers`, when given, gets each.
  Time Commit(int32_t edge, int32_t src, int32_t dst, Time end,
              std::vector<Transfer>* transfers = nullptr) {
    if (src == dst) return end;
    if (arrival_.empty()) return Independent(edge, src, dst, end);
    Time there = end;
    for (int32_t t : tasks_.TensorsOf(edge)) {
      Time& arrived = arrival_[static_cast<size_t>(t) * devices_ + dst];
      if (arrived == kAbsent) {
        const Time cost = tasks_.Cost(cluster_, t, src, dst);
        const Time begin = std::max(end, send_[src]);
        const Time received = std::max(begin, Receive(dst));
        arrived = received + cost;
        if (cluster_.comm != Comm::kParallel) {
          send_[src] = begin + cost;
          (cluster_.comm == Comm::kHalf ? send_ : receive_)[dst] = arrived;
        }
        if (transfers) transfers->push_back({t, src, dst, received, arrived});
      }
      there = std::max(there, arrived);
    }
    return there;
  }

 private:
  static constexpr Time kAbsent = -1;

  // Every tensor on a link of its own: the slowest decides.
  Time Independent(int32_t edge, int32_t src, int32_t dst, Time end) const {
    Time cost = 0;
    for (int32_t t : tasks_.TensorsOf(edge))
      cost = std::max(cost, tasks_.Cost(cluster_, t, src, dst));
    return end + cost;
  }
  Time Receive(int32_t device) const {
    return cluster_.comm == Comm::kHalf ? send_[device] : receive_[device];
  }

  const TaskGraph& tasks_;
  const Cluster& cluster_;
  size_t devices_;
  std::vector<Time> send_, receive_;  // when each device's channel is free
  std::vector<Time> arrival_;         // of [tensor * devices + device]
};

}  // namespace orchard::place
