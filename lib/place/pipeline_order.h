// Orders of the operators of a training step with several micro-batches on their devices.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "place/graph.h"
#include "place/plan.h"
#include "place/training_options.h"

namespace orchard::place {

// How far each device is from the end of the pipeline: the longest path from it in the graph of
// devices whose edges are tensors of micro-batches sent forward. Empty when that graph has a cycle.
// `device` is that of every operator of the step.
std::optional<std::vector<int32_t>> PipelineHeights(const Graph& step,
                                                    const std::vector<int32_t>& device,
                                                    int32_t devices);

// All operators of the step so that each device's stand in the order of the pipeline. GPipe: the
// forward passes of all micro-batches, then their backward passes. 1F1B: a device at height h runs
// h + 1 forward passes, then a backward and a forward pass in turn. Within a pass, `rank` decides:
// [kind * forward operators + forward operator], an order in which a step with one micro-batch
// could run. Operators that run once come first, or last; updates stand at the end. Never waits for
// itself. `schedule` is kGpipe, or k1F1B with `heights`.
std::vector<int32_t> PipelineOrder(const Graph& step, const std::vector<int32_t>& device,
                                   Pipeline schedule, const std::vector<int32_t>& heights,
                                   const std::vector<int32_t>& rank);

// Which operators are updates; empty when the graph is no training step.
std::vector<uint8_t> Updates(const Graph& graph);

// Whether every update reads tensors of its own device only. Then nothing is allocated once the
// other operators of a device have ended, and the order of its updates changes no peak of memory.
bool LocalUpdates(const Problem& problem, const std::vector<int32_t>& device);

// Moves the updates to the end of an order.
void UpdatesLast(const Graph& step, std::vector<int32_t>& order);

}  // namespace orchard::place
