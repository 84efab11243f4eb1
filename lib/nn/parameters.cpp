#include "nn/parameters.h"

#include "base/error.h"

namespace orchard::nn {

void Parameters::Add(Parameter parameter) {
  const auto [it, added] = index_.try_emplace(parameter.slot, all_.size());
  if (!added) {
    throw DataError("two tensors for " + parameter.slot,
                    all_[it->second].name + " and " + parameter.name);
  }
  all_.push_back(std::move(parameter));
}

at::Tensor Parameters::Find(std::string_view slot) const {
  const auto it = index_.find(slot);
  return it == index_.end() ? at::Tensor() : all_[it->second].value;
}

at::Tensor Parameters::Get(std::string_view slot) const {
  const auto it = index_.find(slot);
  if (it == index_.end()) throw DataError("the model has no tensor for " + std::string(slot));
  return all_[it->second].value;
}

int64_t Parameters::elements() const {
  int64_t sum = 0;
  for (const Parameter& parameter : all_) sum += parameter.value.numel();
  return sum;
}

void Parameters::RequireGrad(bool required) {
  for (const Parameter& parameter : all_) {
    if (!parameter.measured) parameter.value.requires_grad_(required);
  }
}

}  // namespace orchard::nn
