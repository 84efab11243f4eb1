// m-TOPO: fill the devices one after the other in topological order.
#pragma once

#include "place/cluster.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::place {

struct TopoOptions {
  bool fill = false;       // use each device's memory instead of an equal share ("nonuniform")
  bool groups = true;      // place a whole group with its first task
  bool hard_limit = true;  // the equal share never exceeds a device's memory; off: as published
};

// Fills `device` and `placed` only: when it runs is a simulator's business.
Schedule MTopo(const TaskGraph& tasks, const Cluster& cluster, const TopoOptions& options);

}  // namespace orchard::place
