// One rank's copy of a network, its parameters and gradients as views into flat arenas.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "nn/classifier.h"
#include "sync/arena.h"
#include "sync/device.h"

namespace orchard::sync {

class Replica {
 public:
  // Takes the network's values into the arena. Gradients are views of the gradient arena and stay
  // so: backward passes add to them in place.
  //   device  where the arenas lie and the network computes; it must outlive the replica
  explicit Replica(std::unique_ptr<nn::Classifier> network, const Device& device = Device::Cpu());
  ~Replica();

  const Device& device() const { return device_; }
  const ArenaLayout& layout() const { return layout_; }
  std::span<float> values() { return values_.span(); }
  std::span<float> gradient() { return gradient_.span(); }
  // Running statistics of batch norms, one after the other; empty for networks without.
  std::span<float> statistics() { return statistics_.span(); }

  // Sets the gradient to that of the mean loss over a batch and returns the loss (nats).
  //   inputs  of the network;  labels  [rows] int64, one per row of its logits
  //   start   called with the loss before the backward pass; may be empty
  //   ready   called during the backward pass with every slot of the layout whose gradient is
  //           complete; its weights may be changed from then on. May be empty
  double Gradient(const at::Tensor& inputs, const at::Tensor& labels,
                  const std::function<void(double)>& start = {},
                  const std::function<void(size_t)>& ready = {});

  // What an evaluation batch gives; `training` passes only move the running statistics.
  struct Scores {
    double loss = 0;  // summed over the labels
    int64_t top1 = 0, top5 = 0;
  };
  Scores Evaluate(const at::Tensor& inputs, const at::Tensor& labels);
  void MeasureStatistics(const at::Tensor& inputs);

  // The reverse of NamedTensors: takes the values of a stored model. Throws DataError.
  void Load(const std::filesystem::path& file);

  // Copies of all tensors under their names, with `values` and `statistics` in place of this
  // rank's.
  std::map<std::string, at::Tensor> NamedTensors(std::span<const float> values,
                                                 std::span<const float> statistics) const;

 private:
  // Tells `ready_` of every gradient that autograd has accumulated.
  class ReadyHooks;

  at::Tensor OnDevice(const at::Tensor& tensor) const;

  const Device& device_;
  std::unique_ptr<nn::Classifier> network_;
  ArenaLayout layout_;
  FlatBuffer<float> values_, gradient_, statistics_;
  std::function<void(size_t)> ready_;  // of the backward pass under way
  std::unique_ptr<ReadyHooks> hooks_;
};

}  // namespace orchard::sync
