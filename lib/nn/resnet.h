// The forward pass of residual networks (arch/resnet_shape.h) with torchvision's tensor names and
// arithmetic.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arch/resnet_shape.h"
#include "io/safetensors.h"
#include "nn/parameters.h"

namespace orchard::nn {

class ResNet {
 public:
  // `parameters` are under torchvision's names, as name and as slot: weights, and the running
  // statistics of the norms. Convolutions are computed in `compute` where given, everything else in
  // the parameters' type. Throws DataError naming the tensor that is missing or misshapen.
  ResNet(arch::ResNetShape shape, Parameters parameters,
         std::optional<at::ScalarType> compute = std::nullopt);

  // images [N, C, H, W], normalised, to logits [N, classes]. With `training` the norms use the
  // batch's statistics and update the running ones (momentum 0.1).
  at::Tensor Forward(const at::Tensor& images, bool training = false) const;

  // A training pass that leaves the running statistics alone and returns in `measured` what they
  // are to move towards: mean and unbiased variance of the batch at every norm, one after the
  // other, flat. Throws UsageError where a norm sees a single value per channel.
  at::Tensor Forward(const at::Tensor& images, at::Tensor& measured) const;
  // Moves the running statistics by the momentum, as after one pass.
  void MoveStatistics(const at::Tensor& measured) const;

  // The parts of an evaluation in order: [N, C, H, W] to [N, stem, H/4, W/4]; block `index`,
  // counted over all stages; the logits.
  at::Tensor Stem(const at::Tensor& images) const;
  at::Tensor Block(int64_t index, const at::Tensor& x) const;
  at::Tensor Head(const at::Tensor& x) const;

  const arch::ResNetShape& shape() const { return shape_; }
  const Parameters& parameters() const { return parameters_; }
  Parameters& parameters() { return parameters_; }

 private:
  class Pass;

  arch::ResNetShape shape_;
  Parameters parameters_;
  std::optional<at::ScalarType> compute_;
  std::vector<std::string> norms_;  // in the order of computation
};

// Tensors of a network under torchvision's names; weights and statistics become `dtype`.
Parameters LoadResNetParameters(const io::Checkpoint& checkpoint, at::ScalarType dtype);

// A stored network. Throws DataError and ImpossibleError, as arch::ReadResNetShape.
ResNet LoadResNet(const io::Checkpoint& checkpoint, at::ScalarType dtype,
                  std::optional<at::ScalarType> compute = std::nullopt);

// Fresh weights: convolutions He-normal by fan-out, norms (1, 0), the last layer uniform in
// +-1/sqrt(fan-in), as torchvision. Keyed by tensor name, so that a tensor has the same values in
// every network of the same seed.
Parameters InitialiseResNet(const arch::ResNetShape& shape, uint64_t seed, at::ScalarType dtype);

}  // namespace orchard::nn
