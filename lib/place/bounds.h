// Makespans that no placement can beat, and what is promised of those that were made.
#pragma once

#include <algorithm>
#include <string>

#include "place/cluster.h"
#include "place/task_graph.h"

namespace orchard::place {

struct LowerBound {
  Time critical_path = 0;  // compute along the longest chain, each task on its fastest device
  Time work = 0;           // all compute over all devices
  Time exact = 0;          // proven by a search or an integer programme, where one ran
  Time value() const { return std::max({critical_path, work, exact}); }
};

LowerBound ComputeLowerBound(const TaskGraph& tasks, const Cluster& cluster);

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

// What any earliest-task-first schedule keeps on every instance (after Hwang et al., 1989): work /
// n
// + (1 - 1/n) compute critical path + the most communication along a chain. Equal devices, parallel
// communication, no groups.
Time EtfGuarantee(const TaskGraph& tasks, const Cluster& cluster);

}  // namespace orchard::place
