// A rank's own optimiser: what makes a step of its gradient. SGD with momentum, Adam, AdamW, Lion
// and LAMB; algorithms decide what happens with the step.
//
// Source: Kingma & Ba, Adam, 2015; Loshchilov & Hutter, Decoupled Weight Decay, 2019; You et al.,
// LAMB, 2020, Algorithm 2; Chen et al., Symbolic Discovery of Optimization Algorithms (Lion), 2023.
#pragma once

#include <vector>

#include "sync/algorithm.h"
#include "sync/update_kernels.h"

namespace orchard::sync {

template <class T>
class LocalOptimizer {
 public:
  // `layout` must outlive it.
  LocalOptimizer(const AlgorithmOptions& options, const ArenaLayout& layout,
                 const Device& device = Device::Cpu());

  // LAMB needs norms of whole tensors: the gradient of this one becomes its step. Nothing for the
  // others. Before the kernels, once per tensor.
  void Prepare(const StepInput<T>& input, size_t slot);

  // Scalars, gradient, values and moments of a kernel's arguments.
  UpdateArgs<T> Args(const StepInput<T>& input) const;

  // step = what this rank would do by itself.
  void MakeStep(const StepInput<T>& input, std::span<T> step);

  bool NeedsWholeTensors() const { return options_.base == BaseOptimizer::kLamb; }
  std::span<T> momentum() const { return momentum_.span(); }
  std::span<T> second_moment() const { return second_moment_.span(); }
  void AddState(std::vector<StateBuffer<T>>& state) const;

 private:
  StepScalars<T> Scalars(const StepInput<T>& input) const;

  AlgorithmOptions options_;
  const ArenaLayout& layout_;
  StepRule rule_;
  FlatBuffer<T> momentum_, second_moment_;
};

}  // namespace orchard::sync
