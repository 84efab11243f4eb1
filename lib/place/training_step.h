// One training step as a graph: a forward graph is unrolled into forward operators, backward
// operators on the same devices, and updates of the parameters, for one or several micro-batches.
// Everything that places or simulates a graph then works on the step as well.
//
// The backward operator of i reads what was saved for it, its own outputs and its inputs, and the
// gradients of its outputs, which its consumers' backward operators send with the bytes of the
// tensors themselves; it makes the gradients of its inputs and of its parameters. Operators whose
// results depend on no parameter have no backward pass, unless the graph has no parameters at all
// or states their backward time. Operators computed from parameters alone run once, whatever the
// number of micro-batches. docs/methods/baechi-place.md states times and sizes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "place/graph.h"
#include "place/memory.h"

namespace orchard::place {

struct StepOptions {
  int32_t microbatches = 1;
  Optimizer optimizer = Optimizer::kAdam;
  double launch_us = 5;                  // of an operator's time, does not shrink with the batch
  std::optional<double> backward_ratio;  // backward time by forward time where none is stated;
                                         // absent: 2 for dense operators, 1 for others
  double bandwidth_gb_per_s = 448;       // of a device's memory; what updates cost
  // Segments of forward operators that share a device: what only operators of the segment read is
  // dropped, and computed again when the gradients of the segment's outputs are there.
  std::vector<std::vector<int32_t>> recompute;
  bool operator==(const StepOptions&) const = default;
};

enum class StepKind : uint8_t { kForward, kBackward, kUpdate, kRecompute };
inline constexpr int kStepKinds = 4;
const char* Name(StepKind kind);

// What an operator of the step does.
struct StepOp {
  int32_t forward = 0;  // operator of the forward graph
  StepKind kind = StepKind::kForward;
  int32_t microbatch = 0;
  bool once = false;  // for all micro-batches together
};

// Where a step graph comes from: Graph::step.
struct StepOrigin {
  Graph forward;
  StepOptions options;
  std::vector<StepOp> ops;  // of each operator of the step
  // Of each tensor of the step: which sum of gradients it is added to where it is read, or -1.
  std::vector<int32_t> sum_of_tensor;
  int32_t sums = 0;
};

// The operators of micro-batch m, counted from 0, are called "name" and "name backward", from m = 1
// on "name #2" and "name #2 backward"; updates are "name update", and what is computed again "name
// recompute". Throws DataError when operators of the graph are called like that, or segments to
// recompute depend on each other both ways.
Graph BuildTrainingStep(const Graph& forward, const StepOptions& options);

// Bytes that an update reads and writes, in sizes of the parameters: parameters and gradients are
// read, parameters written, and every state read and written.
double UpdateTraffic(Optimizer optimizer);

// Whether its backward pass takes two products for every one: by the operator's type.
bool IsDense(const std::string& type);

// Values of forward operators (devices, groups, pins) for the operators of a step.
std::vector<int32_t> LiftToStep(const StepOrigin& step, const std::vector<int32_t>& of_forward);
// Values of the operators of a step, where all of one forward operator agree, for the forward ones.
std::vector<int32_t> LowerToForward(const StepOrigin& step, const std::vector<int32_t>& of_step);

}  // namespace orchard::place
