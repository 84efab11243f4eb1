// The official execution simulator: first come, first served per device, channels granted in the
// order in which operators are taken from the queue. Kept for `--compat`; simulate.h is the one to
// believe.
#pragma once

#include "place/cluster.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::place {

// `device` gives the device of every task. `peak` of the result follows the published bookkeeping.
Schedule SimulateFifo(const TaskGraph& tasks, const Cluster& cluster,
                      const std::vector<int32_t>& device);

}  // namespace orchard::place
