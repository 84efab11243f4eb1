// A placement problem and what one answer to it is worth: simulated with true links, its memory
// replayed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "place/cluster.h"
#include "place/graph.h"
#include "place/groups.h"
#include "place/memory.h"
#include "place/schedule.h"
#include "place/simulate.h"
#include "place/task_graph.h"

namespace orchard::place {

struct Problem {
  // `must_share` gives the groups that every answer keeps together. `pin` is the device of each
  // operator, or -1; empty: none. Throws UsageError when a group is pinned to two devices,
  // DataError as CheckDevices.
  Problem(const Graph& graph, Cluster cluster, const MemoryOptions& memory,
          const std::vector<int32_t>& must_share, const std::vector<int32_t>& pin = {});

  const Graph& graph;
  Cluster cluster;
  MemorySizes sizes;
  TaskGraph ops;                  // one task per operator, in the groups that must share
  std::vector<int64_t> resident;  // bytes each operator holds for the whole step, or, of a training
                                  // step, from its forward to its backward pass
  std::vector<int64_t> priority;  // minus the longest path to the end: for Dispatch::kPriority
  std::vector<int32_t> coarse;    // larger groups, for large moves: coplaced ones with a cap
  std::vector<int32_t> group_pin;  // device of each group of `ops`, or -1
  bool memory_can_bind = false;    // some device cannot hold everything at once
};

struct Evaluated {
  Schedule schedule;  // in plan order: simulating `schedule.order` again gives the same
  MemoryUse memory;
  int64_t excess = 0;  // bytes over the devices' limits, summed
  bool feasible() const { return excess == 0; }
};

// Simulates `device`, one per operator, as the devices would run it by arrival, by priority and, if
// given, in the order of `plan` (all operators), keeps the fastest, fixes its order, and replays
// its memory; among the fastest that fit where some do not. Updates of a training step run last.
Evaluated Evaluate(const Problem& problem, const std::vector<int32_t>& device,
                   const std::vector<int32_t>& plan = {});

// Simulates `device` in the order of `order`, which must be one that can run, and replays its
// memory.
Evaluated EvaluateOrder(const Problem& problem, const std::vector<int32_t>& device,
                        const std::vector<int32_t>& order);

// Tasks made of operators, and what a planner said of them, back to operators: the device of each
// and all of them in the order of the plan, a topological one.
struct Expanded {
  std::vector<int32_t> device;
  std::vector<int32_t> order;
};
Expanded Expand(const Problem& problem, const TaskGraph& tasks, const Schedule& plan);

// Orders that a schedule implies: all tasks by their start.
std::vector<int32_t> OrderByStart(const TaskGraph& tasks, const Schedule& schedule);

}  // namespace orchard::place
