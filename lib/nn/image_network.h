// Small networks that classify images: the models of distributed-training experiments. Each is told
// by a short text, such as "mlp:784-512-256-10", "lenet" or "wrn-16-1".
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "cli/fields.h"
#include "nn/classifier.h"

namespace orchard::nn {

struct ImageShape {
  int64_t channels = 1, height = 28, width = 28;
  int64_t classes = 10;
};

// How fresh weights are drawn: uniform within sqrt(6 / (fan in + fan out)) and biases 0 (Glorot and
// Bengio, 2010), or uniform within 1/sqrt(fan in), biases too, as PyTorch's layers do by default.
enum class WeightInit { kXavier, kTorch };
inline constexpr cli::EnumName<WeightInit> kWeightInitNames[] = {{"xavier", WeightInit::kXavier},
                                                                 {"torch", WeightInit::kTorch}};
constexpr auto EnumNames(WeightInit) { return std::span(kWeightInitNames); }

struct ImageNetworkOptions {
  ImageShape shape;
  WeightInit init = WeightInit::kXavier;
  bool stem_norms = true;  // wide residual networks: the two norms of the stem, see wide_resnet.h
  uint64_t seed = 0;
};

// Inputs are images [N, C, H, W], normalised. Running statistics move with momentum 0.1. Parameters
// are in the order of their use.
class ImageNetwork : public Classifier {
 public:
  const Parameters& parameters() const override { return parameters_; }
  int64_t trained_elements() const;

 protected:
  explicit ImageNetwork(const ImageNetworkOptions& options) : options_(options) {}
  at::Tensor Get(std::string_view name) const { return parameters_.Get(name); }

  void Add(const std::string& name, at::Tensor value, bool measured);
  // Fresh tensors, values keyed by their names.
  void AddWeight(const std::string& name, at::IntArrayRef shape);
  void AddBias(const std::string& name, int64_t size, int64_t fan_in);
  void AddNorm(const std::string& name, int64_t channels, bool affine = true);

  at::Tensor Linear(const at::Tensor& x, const std::string& name) const;
  // Without bias, padded so that a stride of 1 keeps the size.
  at::Tensor Convolve(const at::Tensor& x, const std::string& name, int64_t stride) const;
  at::Tensor Norm(const at::Tensor& x, const std::string& name, bool training) const;

  ImageNetworkOptions options_;

 private:
  Parameters parameters_;
};

//   mlp:A-B-...-C  fully connected with ReLU between, A = pixels of an image, C = classes
//   logreg         one linear layer
//   lenet          two 5x5 convolutions of 20 and 50 maps, each with 2x2 max pooling, 500 units
//   wrn-D-K        wide residual network of depth D = 6 n + 4 and width K
//   resnetD-v2     residual network with pre-activation of depth 50, 101 or 152
//   PATH.pt        a TorchScript module, see script_network.h
// Throws UsageError for other texts, and where sizes do not fit the images.
std::unique_ptr<ImageNetwork> MakeImageNetwork(std::string_view text,
                                               const ImageNetworkOptions& options);

}  // namespace orchard::nn
