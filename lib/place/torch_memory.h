// The memory bookkeeping of Baechi's PyTorch program: what every operator keeps and what it needs
// while it runs.
#pragma once

#include <cstdint>
#include <vector>

#include "place/graph.h"
#include "place/memory.h"
#include "place/task_graph.h"

namespace orchard::place {

// Bytes of a task.
struct TorchNeed {
  int64_t permanent = 0;   // from when it is placed, for good
  int64_t temporary = 0;   // on top, while it runs
  int64_t parameters = 0;  // with their gradients when training; part of `permanent`
};

// Training: parameters, their gradients and the outputs that are kept; for a time output,
// gradients, input and scratch. Inference: parameters; for a time input, scratch and output. When
// training, concatenation and max-pooling keep their outputs and need nothing more, and ReLU,
// flatten and squeeze, done in place, nothing at all. What an operator's profile would have as its
// net memory is taken to be its outputs. A task of several operators keeps what all keep and needs
// what the greediest needs.
std::vector<TorchNeed> TorchNeeds(const Graph& graph, const TaskGraph& tasks, Mode mode);

}  // namespace orchard::place
