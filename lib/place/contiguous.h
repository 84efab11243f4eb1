// Splits of a sequential order into one stretch per device, by dynamic programming.
#pragma once

#include "place/cluster.h"
#include "place/memory_split.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::place {

enum class ContiguousGoal {
  kLeastTraffic,  // the sum over cuts of what crosses them: inference, or one micro-batch
  // The largest of a stretch's compute and the transfers in and out of it: what bounds a pipeline
  // of many micro-batches (PipeDream, Narayanan et al., 2019).
  kLeastLoad
};

// Groups in topological or in depth-first order, whichever serves the goal better, cut so that what
// each device must hold (resident, and the largest that runs) fits it. Up to 2000 blocks of groups
// can be told apart, in larger graphs blocks end where little crosses. Tensors that cross a cut
// count once each, at every cut that they cross. Every device up to the last one used gets at least
// one block. `placed` is 0 when no split fits.
Schedule SplitContiguously(const TaskGraph& tasks, const Cluster& cluster, const GroupFacts& facts,
                           ContiguousGoal goal);

}  // namespace orchard::place
