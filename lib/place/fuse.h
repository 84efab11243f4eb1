// Operator fusion inside groups (T3 of the method).
#pragma once

#include "place/task_graph.h"

namespace orchard::place {

struct FuseOptions {
  // Number the fused tasks anew in topological order. Off: a fused task keeps the position of its
  // first operator, as the official code does, which lets a task come before one of its inputs.
  bool retopo = true;
  // Where the producer has other ways out and the consumer other ways in, look whether a second
  // path does join them, and fuse unless one does; off: never fuse there. O(edges x graph).
  bool disjoint_paths = false;
};

// Fuses along edges inside groups wherever no second path joins the two ends, or can. Work and
// parameters add up, scratch is the largest, outputs are the distinct tensors that still leave. A
// tensor is told by its identity, never twice on one edge.
TaskGraph Fuse(const TaskGraph& tasks, const FuseOptions& options = {});

}  // namespace orchard::place
