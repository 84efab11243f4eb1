// HEFT (Topcuoglu, Hariri and Wu, 2002) for tasks in groups on devices with limited memory: tasks
// by decreasing length of the longest path to the end, each into the first gap of the device where
// it ends earliest.
#pragma once

#include <cstdint>
#include <vector>

#include "place/cluster.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::place {

struct HeftOptions {
  // Choose the device where the child with the longest path can end earliest, not the task itself.
  bool lookahead = false;
  // Weight of communication in the ranks; (n - 1) / n over n devices when negative.
  double communication = -1;
  std::vector<int64_t> group_resident;  // bytes that each group holds; empty: its parameters
  std::vector<int32_t> group_device;    // groups that must be on a device, or -1; empty: none
};

// Links are taken to be free whenever they are wanted. Where a group
// fits nowhere, groups move off the fullest device, the one that costs least per byte first, and
// all begins again. `placed` is short of all tasks when that does not help within 3 moves per group
// on average (fewer in large graphs) and 100 restarts. O(V D log V + E D) and the gaps that are
// passed.
Schedule Heft(const TaskGraph& tasks, const Cluster& cluster, const HeftOptions& options = {});

}  // namespace orchard::place
