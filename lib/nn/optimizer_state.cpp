// Saving and restoring the optimiser's state, and its weight averages.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <set>

#include "base/error.h"
#include "nn/optimizer.h"

namespace orchard::nn {
namespace {

at::ScalarType StateType(const at::Tensor& value) {
  return value.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Copies a stored entry into the type and onto the device of the tensor that it belongs to.
at::Tensor Restore(const at::Tensor& stored, const at::Tensor& value, const std::string& entry) {
  if (stored.sizes() != value.sizes()) {
    throw DataError("optimiser state of another shape", entry,
                    "it was saved for another model; expand it or start with a fresh state");
  }
  return stored.to(value.options().dtype(StateType(value)), false, true).contiguous();
}

}  // namespace

std::vector<std::pair<std::string, at::Tensor Optimizer::State::*>> Optimizer::StateNames(
    const OptimizedTensor& t) const {
  std::vector<std::pair<std::string, at::Tensor State::*>> names;
  if (options_.name == OptimizerKind::kAdamW) {
    names.emplace_back("exp_avg." + t.name, &State::first);
    names.emplace_back("exp_avg_sq." + t.name, &State::second);
  } else {
    names.emplace_back("momentum_buffer." + t.name, &State::first);
  }
  if (t.value.element_size() == 2) names.emplace_back("master." + t.name, &State::master);
  return names;
}

std::map<std::string, at::Tensor> Optimizer::ExportState() const {
  std::map<std::string, at::Tensor> state;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const OptimizedTensor& t = tensors_[i];
    const State& s = states_[i];
    if (s.average.defined()) state["ema." + t.name] = s.average;
    if (!s.first.defined()) continue;
    state["step." + t.name] = at::full({}, s.step, at::kLong);
    for (const auto& [name, member] : StateNames(t)) state[name] = s.*member;
  }
  return state;
}

void Optimizer::ImportState(const std::map<std::string, at::Tensor>& state) {
  const c10::NoGradGuard no_grad;
  std::vector<State> restored(states_.size());
  std::set<std::string> known;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const OptimizedTensor& t = tensors_[i];
    const at::Tensor value = t.value.detach();
    State& s = restored[i];
    s.average = states_[i].average;
    const auto average = state.find("ema." + t.name);
    if (average != state.end()) {
      known.insert(average->first);
      if (options_.ema > 0) s.average = Restore(average->second, value, average->first);
    }
    const auto step = state.find("step." + t.name);
    if (step == state.end()) continue;
    known.insert(step->first);
    s.step = step->second.item<int64_t>();
    for (const auto& [name, member] : StateNames(t)) {
      const auto entry = state.find(name);
      if (entry == state.end()) throw DataError("optimiser state is incomplete", name);
      known.insert(name);
      s.*member = Restore(entry->second, value, name);
    }
  }
  for (const auto& [name, tensor] : state) {
    if (!known.contains(name)) {
      throw DataError("optimiser state without a tensor", name, "it was saved for another model");
    }
  }
  states_ = std::move(restored);
}

std::vector<at::Tensor> Optimizer::Averages() const {
  if (options_.ema == 0)
    throw UsageError("there is no weight average", "opt.ema", "set it above 0");
  std::vector<at::Tensor> averages;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    averages.push_back(states_[i].average.to(tensors_[i].value.scalar_type()));
  }
  return averages;
}

AveragedWeights::AveragedWeights(Optimizer& optimizer) : optimizer_(optimizer) {
  const c10::NoGradGuard no_grad;
  const std::vector<at::Tensor> averages = optimizer.Averages();
  for (size_t i = 0; i < averages.size(); ++i) {
    const at::Tensor value = optimizer.tensors()[i].value;
    saved_.push_back(value.detach().clone());
    value.detach().copy_(averages[i]);
  }
}

AveragedWeights::~AveragedWeights() {
  const c10::NoGradGuard no_grad;
  for (size_t i = 0; i < saved_.size(); ++i) {
    optimizer_.tensors()[i].value.detach().copy_(saved_[i]);
  }
}

}  // namespace orchard::nn
