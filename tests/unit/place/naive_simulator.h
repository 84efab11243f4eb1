// The simulator again, written for reading: at every moment, look at everything. What
// place/simulate.h says, and nothing clever.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "place/simulate.h"

namespace orchard::place {

struct NaiveRun {
  std::vector<Time> start, end;
  Time makespan = kNever;  // kNever: the order waits for itself
};

inline NaiveRun NaiveSimulate(const TaskGraph& tasks, const Cluster& cluster,
                              const std::vector<int32_t>& device, Dispatch dispatch,
                              const std::vector<int32_t>& order = {},
                              const std::vector<int64_t>& priority = {}) {
  const int32_t n = tasks.size();
  NaiveRun run{std::vector<Time>(n, kNever), std::vector<Time>(n, kNever)};
  // When each tensor is on each device, and when each task had all its inputs.
  std::map<std::pair<int32_t, int32_t>, Time> here;
  std::vector<Time> ready(n, kNever);
  // Transfers by who goes first: producer, edge and tensor on it.
  struct Move {
    int32_t tensor, src, dst;
    Time end;
  };
  std::map<std::tuple<int32_t, int32_t, int32_t>, Move> waiting;
  std::vector<Move> moving;
  std::vector<uint8_t> told(n, 0);
  Time now = 0;
  const auto running = [&](int32_t d) {
    for (int32_t i = 0; i < n; ++i) {
      if (device[i] == d && run.start[i] != kNever && run.end[i] > now) return true;
      if (device[i] == d && run.start[i] != kNever && !told[i]) return true;
    }
    return false;
  };
  const auto take = [&](int32_t d) {
    if (dispatch == Dispatch::kOrder) {
      for (int32_t i : order) {
        if (device[i] != d || run.start[i] != kNever) continue;
        return ready[i] <= now ? i : -1;
      }
      return -1;
    }
    int32_t best = -1;
    const auto key = [&](int32_t i) {
      return std::pair(dispatch == Dispatch::kFifo ? ready[i] : priority[i], tasks.topo[i]);
    };
    for (int32_t i = 0; i < n; ++i) {
      if (device[i] != d || run.start[i] != kNever || ready[i] > now) continue;
      if (best < 0 || key(i) < key(best)) best = i;
    }
    return best;
  };
  while (true) {
    // What has ended by now.
    for (int32_t i = 0; i < n; ++i) {
      if (run.end[i] > now || told[i]) continue;
      told[i] = 1;
      for (int32_t e = tasks.out_begin[i]; e < tasks.out_begin[i + 1]; ++e) {
        const int32_t to = device[tasks.edges[e].dst];
        int32_t on_edge = 0;
        for (int32_t t : tasks.TensorsOf(e)) {
          here.try_emplace({t, device[i]}, now);
          const auto known = [&](const auto& item) {
            return item.second.tensor == t && item.second.dst == to;
          };
          if (to != device[i] && !here.count({t, to}) &&
              std::none_of(waiting.begin(), waiting.end(), known))
            waiting[{tasks.topo[i], e, on_edge}] = {t, device[i], to, 0};
          ++on_edge;
        }
      }
    }
    for (const Move& move : moving) {
      if (move.end <= now) here.try_emplace({move.tensor, move.dst}, now);
    }
    moving.erase(std::remove_if(moving.begin(), moving.end(),
                                [&](const Move& move) { return move.end <= now; }),
                 moving.end());
    // With parallel links a free transfer is there at once.
    if (cluster.comm == Comm::kParallel) {
      for (const auto& [key, move] : waiting) {
        const Time end = now + tasks.Cost(cluster, move.tensor, move.src, move.dst);
        if (end == now) {
          here.try_emplace({move.tensor, move.dst}, now);
        } else {
          here[{move.tensor, move.dst}] = kNever;
          moving.push_back({move.tensor, move.src, move.dst, end});
        }
      }
      waiting.clear();
    }
    for (auto& [where, time] : here) {
      const bool on_its_way = std::any_of(moving.begin(), moving.end(), [&, key = where](auto& m) {
        return m.tensor == key.first && m.dst == key.second;
      });
      if (time == kNever && !on_its_way) time = now;
    }
    for (int32_t i = 0; i < n; ++i) {
      bool all = true;
      for (int32_t e : tasks.InEdges(i)) {
        for (int32_t t : tasks.TensorsOf(e)) {
          const auto at = here.find({t, device[i]});
          all = all && at != here.end() && at->second <= now;
        }
      }
      if (all) ready[i] = std::min(ready[i], now);
    }
    // What can start.
    for (int32_t d = 0; d < cluster.size(); ++d) {
      if (running(d)) continue;
      const int32_t i = take(d);
      if (i < 0) continue;
      run.start[i] = now;
      run.end[i] = now + tasks.WorkOn(cluster, i, d);
    }
    if (cluster.comm != Comm::kParallel) {
      std::set<std::pair<int, int32_t>> busy;
      const int receive = cluster.comm == Comm::kHalf ? 0 : 1;
      for (const Move& move : moving) {
        busy.insert({0, move.src});
        busy.insert({receive, move.dst});
      }
      for (auto at = waiting.begin(); at != waiting.end();) {
        Move move = at->second;
        if (busy.count({0, move.src}) || busy.count({receive, move.dst})) {
          ++at;
          continue;
        }
        busy.insert({0, move.src});
        busy.insert({receive, move.dst});
        move.end = now + tasks.Cost(cluster, move.tensor, move.src, move.dst);
        here[{move.tensor, move.dst}] = kNever;
        moving.push_back(move);
        at = waiting.erase(at);
      }
    }
    Time next = kNever;
    for (int32_t i = 0; i < n; ++i) {
      if (run.start[i] != kNever && !told[i]) next = std::min(next, run.end[i]);
    }
    for (const Move& move : moving) next = std::min(next, move.end);
    if (next == kNever) break;
    now = next;
  }
  if (std::count(told.begin(), told.end(), 1) == n)
    run.makespan = *std::max_element(run.end.begin(), run.end.end());
  return run;
}

}  // namespace orchard::place
