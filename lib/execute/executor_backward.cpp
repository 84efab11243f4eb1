// The backward pass of one step, operator by operator.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "execute/executor_state.h"
#include "execute/torchscript.h"

namespace orchard::execute {
namespace {

using Lock = std::unique_lock<std::mutex>;

}  // namespace

// In the order of the readers, then of the loss, wherever they came from.
at::Tensor Executor::State::SumGradients(Lane& lane, int32_t value) {
  at::Tensor sum;
  for (int32_t slot = wiring.gradient_begin[value]; slot < wiring.gradient_begin[value + 1];
       ++slot) {
    Arrival part;
    {
      const Lock lock(lane.mutex);
      std::swap(part, lane.gradients[slot]);
    }
    if (!part.tensor.defined()) continue;
    const at::Tensor here = Take(lane, part);
    sum = sum.defined() ? sum + here : here;
  }
  if (wiring.is_output[value]) {
    const at::Tensor seed = Seed(lane.values[value].tensor);
    sum = sum.defined() ? sum + seed : seed;
  }
  return sum;
}

void Executor::State::Backward(Lane& lane, int32_t op) {
  if (!wiring.needs_gradient[op]) return;
  Wait(lane, lane.missing_gradients, op);
  if (failed) return;
  const auto begin = Clock::now();
  std::shared_ptr<c10::Event> mark;
  if (lane.stream) mark = Mark(lane, true);
  const Operator& what = program.operators[op];
  Lane::Saved saved = std::move(lane.saved.at(op));
  lane.saved.erase(op);
  std::vector<at::Tensor> roots, root_gradients, leaves;
  for (size_t k = 0; k < saved.outputs.size(); ++k) {
    if (!saved.outputs[k].defined() || !saved.outputs[k].requires_grad()) continue;
    at::Tensor gradient = SumGradients(lane, wiring.value_begin[op] + static_cast<int32_t>(k));
    if (!gradient.defined()) continue;
    roots.push_back(saved.outputs[k]);
    root_gradients.push_back(std::move(gradient));
  }
  saved.outputs.clear();
  for (size_t k = 0; k < what.inputs.size(); ++k) {
    if (wiring.gradient_slot[op][k] >= 0) leaves.push_back(saved.leaves[k]);
  }
  const size_t from_inputs = leaves.size();
  for (int32_t p : what.parameters) {
    if (program.parameters[p].trainable) leaves.push_back(lane.parameters.at(p));
  }
  std::vector<at::Tensor> gradients(leaves.size());
  if (!roots.empty()) {
    gradients = torch::autograd::grad(roots, leaves, root_gradients, /*retain_graph=*/false,
                                      /*create_graph=*/false, /*allow_unused=*/true);
  }
  size_t next = from_inputs;
  for (int32_t p : what.parameters) {
    if (!program.parameters[p].trainable) continue;
    if (gradients[next].defined()) lane.parameter_gradients[p][op] = gradients[next];
    ++next;
  }
  gradients.resize(from_inputs);
  if (lane.stream) lane.timed_backward[op] = {mark, Mark(lane, true)};
  PassGradients(lane, op, gradients);
  result->backward[op] = {Since(begin), Since(Clock::now())};
}

// To the producers of the inputs; an input that the result does not depend on gets none.
void Executor::State::PassGradients(Lane& lane, int32_t op,
                                    const std::vector<at::Tensor>& gradients) {
  std::map<int32_t, Parcel> parcels;
  size_t next = 0;
  for (size_t k = 0; k < wiring.gradient_slot[op].size(); ++k) {
    const int32_t slot = wiring.gradient_slot[op][k];
    if (slot < 0) continue;
    const at::Tensor& gradient = gradients[next++];
    const int32_t producer = wiring.producer[wiring.value_of_slot[slot]];
    const int32_t owner = wiring.device[producer];
    if (owner != lane.index) {
      parcels[owner].items.push_back(slot);
      parcels[owner].tensors.push_back(gradient);
      continue;
    }
    const Lock lock(lane.mutex);
    lane.gradients[slot].tensor = gradient;
    --lane.missing_gradients[producer];
  }
  std::shared_ptr<c10::Event> ready;
  if (lane.stream && !parcels.empty()) ready = Mark(lane);
  for (auto& [dst, parcel] : parcels) {
    parcel.gradient = true;
    parcel.src = lane.index;
    parcel.dst = dst;
    parcel.ready = ready;
    parcel.sent = Clock::now();
    lane.courier->Send(std::move(parcel));
  }
}

// Gradients of a parameter add up in the order of its readers; one step of SGD.
void Executor::State::Update(Lane& lane) {
  const c10::AutoGradMode no_grad(false);
  const auto begin = Clock::now();
  for (const auto& [p, parts] : lane.parameter_gradients) {
    at::Tensor sum;
    for (const auto& [op, part] : parts) sum = sum.defined() ? sum + part : part;
    lane.parameters.at(p).add_(sum, -options.learning_rate);
    if (options.keep_results) lane.gradient_sums[p] = sum;
  }
  lane.parameter_gradients.clear();
  result->update[lane.index] = {Since(begin), Since(Clock::now())};
}

}  // namespace orchard::execute
