// Residual networks with the tensor names and the arithmetic of torchvision (v1.5: a bottleneck
// strides in its 3x3 convolution): ResNet-18/34/50/101/152 and the wide ones. Source: He et al.
// 2015; Zagoruyko and Komodakis 2016.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <string_view>

#include "io/safetensors.h"
#include "nn/parameters.h"

namespace orchard::nn {

struct ResNetConfig {
  bool bottleneck = false;             // three convolutions per block instead of two
  std::array<int64_t, 4> blocks = {};  // per stage
  int64_t stem =
      64;  // channels after the first convolution; stage s has stem x 2^s (x 4 for bottlenecks)
  int64_t inner = 64;  // inner channels of stage 0's bottlenecks: 128 for the wide networks
  int64_t classes = 1000;
  int64_t image_channels = 3;

  int64_t Channels(int stage) const;  // what a block of the stage returns
  int64_t Inner(int stage) const;     // what its inner convolutions return
};

// By torchvision's name: resnet18, resnet34, resnet50, resnet101, resnet152, wide_resnet50_2,
// wide_resnet101_2. Throws UsageError for other names.
ResNetConfig FindResNet(std::string_view name);

// Reads the sizes off the tensors; slots are torchvision's names. Throws DataError naming the
// tensor that is missing.
ResNetConfig ReadResNetConfig(const Parameters& parameters);

class ResNet {
 public:
  // `parameters` are under torchvision's names, as name and as slot: weights, and the running
  // statistics of the norms. Throws DataError naming the tensor that is missing or misshapen.
  ResNet(ResNetConfig config, Parameters parameters);

  // images [N, C, H, W], normalised, to logits [N, classes]. With `training` the norms use the
  // batch's statistics and update the running ones (momentum 0.1).
  at::Tensor Forward(const at::Tensor& images, bool training = false) const;

  const ResNetConfig& config() const { return config_; }
  const Parameters& parameters() const { return parameters_; }

 private:
  at::Tensor Block(int stage, int64_t block, const at::Tensor& x, bool training) const;
  at::Tensor Norm(const std::string& name, const at::Tensor& x, bool training) const;

  ResNetConfig config_;
  Parameters parameters_;
};

// A network stored under torchvision's names. The tensors of norms, and all others, are cast to
// `dtype`. Throws DataError.
ResNet LoadResNet(const io::Checkpoint& checkpoint, at::ScalarType dtype, bool requires_grad);

// Fresh weights: convolutions He-normal by fan-out, norms (1, 0), the last layer uniform in
// +-1/sqrt(fan-in), as torchvision. Keyed by tensor name, so that a tensor has the same values in
// every network of the same seed.
Parameters InitialiseResNet(const ResNetConfig& config, uint64_t seed, at::ScalarType dtype);

}  // namespace orchard::nn
