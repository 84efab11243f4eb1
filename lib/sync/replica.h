// One rank's copy of a network, its parameters and gradients as views into flat arenas.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "data/image_dataset.h"
#include "nn/image_network.h"
#include "sync/arena.h"
#include "sync/train_options.h"

namespace orchard::sync {

// The network that the options ask for, for images like these. Throws UsageError.
std::unique_ptr<nn::ImageNetwork> MakeNetwork(const SyncModelOptions& options,
                                              const data::ImageDataset& images, uint64_t seed);

class Replica {
 public:
  // Takes the network's values into the arena. Gradients are views of the gradient arena and stay
  // so: backward passes add to them in place.
  explicit Replica(std::unique_ptr<nn::ImageNetwork> network);
  ~Replica();

  const ArenaLayout& layout() const { return layout_; }
  std::span<float> values() { return values_.span(); }
  std::span<float> gradient() { return gradient_.span(); }
  // Running statistics of batch norms, one after the other; empty for networks without.
  std::span<float> statistics() { return statistics_.span(); }

  // Sets the gradient to that of the mean loss over a batch and returns the loss (nats).
  //   images  [N, C, H, W] f32;  labels  [N] int64
  double Gradient(const at::Tensor& images, const at::Tensor& labels);

  // What an evaluation batch gives; `training` passes only move the running statistics.
  struct Scores {
    double loss = 0;  // summed over the batch
    int64_t top1 = 0, top5 = 0;
  };
  Scores Evaluate(const at::Tensor& images, const at::Tensor& labels);
  void MeasureStatistics(const at::Tensor& images);

  // The reverse of NamedTensors: takes the values of a stored model. Throws DataError.
  void Load(const std::filesystem::path& file);

  // Copies of all tensors under their names, with `values` and `statistics` in place of this
  // rank's.
  std::map<std::string, at::Tensor> NamedTensors(std::span<const float> values,
                                                 std::span<const float> statistics) const;

 private:
  std::unique_ptr<nn::ImageNetwork> network_;
  ArenaLayout layout_;
  FlatBuffer<float> values_, gradient_, statistics_;
};

}  // namespace orchard::sync
