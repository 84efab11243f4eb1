// Makespans that no placement can beat, and what is promised of those that were made.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "place/cluster.h"
#include "place/task_graph.h"

namespace orchard::place {

struct LowerBound {
  Time critical_path = 0;  // compute along the longest chain, each task on its fastest device
  Time work = 0;           // all compute over all devices
  Time joined = 0;         // by what cannot be cut (place/joined_bound.h)
  Time exact = 0;          // proven by a search or an integer programme, where one ran
  Time value() const { return std::max({critical_path, work, joined, exact}); }
};

LowerBound ComputeLowerBound(const TaskGraph& tasks, const Cluster& cluster);

// And what cannot be cut, in groups that must share. `resident`: bytes each task holds all the
// time.
LowerBound ComputeLowerBound(const TaskGraph& tasks, const Cluster& cluster,
                             const std::vector<int64_t>& resident);

// The regime of small communication times: rho is the largest communication over the smallest
// computation (tasks of no length left out). Where rho <= 1 on equal devices, m-ETF and m-SCT come
// with a ratio to the optimum with unlimited memory and links.
struct SctRegime {
  double rho = 0;
  bool holds = false;
  double etf_ratio = 0;  // 2 - 1/n + rho
  double sct_ratio = 0;  // 1 + (1 - 1/n) 2 (1 + rho) / (2 + rho)
};
SctRegime FindSctRegime(const TaskGraph& tasks, const Cluster& cluster);

// With equal memory M that binds, and bytes d_i that stay: at most f = floor(sum d / (M - largest
// d)) devices can be too full for an operator, so list scheduling loses at most f of the n devices.
// With n' = n - f >= 1 the ratios become n/n' + 1 - 1/n' + rho for m-ETF and n/n' + (1 - 1/n') 2 (1
// + rho) / (2 + rho) for m-SCT; about K / (K - 1) with K = n (M - largest d) / sum d.
struct MemoryRatio {
  bool holds = false;   // equal, limited devices, n' >= 1, and the regime of `regime`
  int32_t devices = 0;  // n'
  double etf_ratio = 0, sct_ratio = 0;
};
MemoryRatio FindMemoryRatio(const SctRegime& regime, const Cluster& cluster,
                            const std::vector<int64_t>& resident);

// What any earliest-task-first schedule keeps on every instance (after Hwang et al., 1989): work /
// n
// + (1 - 1/n) compute critical path + the most communication along a chain. Equal devices, parallel
// communication, no groups.
Time EtfGuarantee(const TaskGraph& tasks, const Cluster& cluster);

}  // namespace orchard::place
