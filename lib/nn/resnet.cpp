#include "nn/resnet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/torch/tensors.h"
#include "nn/random_tensor.h"

namespace orchard::nn {
namespace {

constexpr double kNormEpsilon = 1e-5, kNormMomentum = 0.1;

std::string BlockName(int stage, int64_t block) {
  return "layer" + std::to_string(stage + 1) + "." + std::to_string(block) + ".";
}

struct TensorShape {
  std::string name;
  std::vector<int64_t> shape;
};

// Every tensor of a network, in torchvision's order.
class Shapes {
 public:
  explicit Shapes(const ResNetConfig& c) {
    Conv("conv1", c.stem, c.image_channels, 7);
    Norm("bn1", c.stem);
    int64_t in = c.stem;
    for (int stage = 0; stage < 4; ++stage) {
      for (int64_t block = 0; block < c.blocks[stage]; ++block) {
        Block(c, BlockName(stage, block), stage, in, stage > 0 && block == 0);
        in = c.Channels(stage);
      }
    }
    all_.push_back({"fc.weight", {c.classes, in}});
    all_.push_back({"fc.bias", {c.classes}});
  }
  const std::vector<TensorShape>& all() const { return all_; }

 private:
  void Block(const ResNetConfig& c, const std::string& at, int stage, int64_t in, bool strides) {
    const int64_t inner = c.Inner(stage), out = c.Channels(stage);
    Conv(at + "conv1", inner, in, c.bottleneck ? 1 : 3);
    Norm(at + "bn1", inner);
    Conv(at + "conv2", c.bottleneck ? inner : out, inner, 3);
    Norm(at + "bn2", c.bottleneck ? inner : out);
    if (c.bottleneck) {
      Conv(at + "conv3", out, inner, 1);
      Norm(at + "bn3", out);
    }
    if (strides || in != out) {
      Conv(at + "downsample.0", out, in, 1);
      Norm(at + "downsample.1", out);
    }
  }
  void Conv(const std::string& name, int64_t out, int64_t in, int64_t kernel) {
    all_.push_back({name + ".weight", {out, in, kernel, kernel}});
  }
  void Norm(const std::string& name, int64_t channels) {
    for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) {
      all_.push_back({name + part, {channels}});
    }
    all_.push_back({name + ".num_batches_tracked", {}});
  }

  std::vector<TensorShape> all_;
};

}  // namespace

int64_t ResNetConfig::Channels(int stage) const { return (stem << stage) * (bottleneck ? 4 : 1); }
int64_t ResNetConfig::Inner(int stage) const { return (bottleneck ? inner : stem) << stage; }

ResNetConfig FindResNet(std::string_view name) {
  static const std::pair<std::string_view, ResNetConfig> kKnown[] = {
      {"resnet18", {.bottleneck = false, .blocks = {2, 2, 2, 2}}},
      {"resnet34", {.bottleneck = false, .blocks = {3, 4, 6, 3}}},
      {"resnet50", {.bottleneck = true, .blocks = {3, 4, 6, 3}}},
      {"resnet101", {.bottleneck = true, .blocks = {3, 4, 23, 3}}},
      {"resnet152", {.bottleneck = true, .blocks = {3, 8, 36, 3}}},
      {"wide_resnet50_2", {.bottleneck = true, .blocks = {3, 4, 6, 3}, .inner = 128}},
      {"wide_resnet101_2", {.bottleneck = true, .blocks = {3, 4, 23, 3}, .inner = 128}},
  };
  std::string names;
  for (const auto& [known, config] : kKnown) {
    if (known == name) return config;
    names += (names.empty() ? "" : ", ") + std::string(known);
  }
  throw UsageError("unknown network " + std::string(name), "", "known: " + names);
}

ResNetConfig ReadResNetConfig(const Parameters& parameters) {
  ResNetConfig c;
  c.stem = parameters.Get("conv1.weight").size(0);
  c.image_channels = parameters.Get("conv1.weight").size(1);
  c.classes = parameters.Get("fc.weight").size(0);
  c.bottleneck = parameters.Has("layer1.0.conv3.weight");
  c.inner = parameters.Get("layer1.0.conv1.weight").size(0);
  for (int stage = 0; stage < 4; ++stage) {
    while (parameters.Has(BlockName(stage, c.blocks[stage]) + "conv1.weight")) ++c.blocks[stage];
    if (c.blocks[stage] == 0) parameters.Get(BlockName(stage, 0) + "conv1.weight");
  }
  return c;
}

ResNet::ResNet(ResNetConfig config, Parameters parameters)
    : config_(config), parameters_(std::move(parameters)) {
  const Shapes shapes(config_);
  for (const TensorShape& expected : shapes.all()) {
    const at::Tensor value = parameters_.Find(expected.name);
    if (!value.defined()) {
      if (expected.shape.empty()) continue;  // the batch counter is optional
      parameters_.Get(expected.name);
    }
    if (!value.sizes().equals(expected.shape)) {
      throw DataError("shape does not fit the network", expected.name);
    }
  }
}

at::Tensor ResNet::Norm(const std::string& name, const at::Tensor& x, bool training) const {
  if (training) {
    at::Tensor count = parameters_.Find(name + ".num_batches_tracked");
    if (count.defined()) count.add_(1);
  }
  return at::batch_norm(x, parameters_.Get(name + ".weight"), parameters_.Get(name + ".bias"),
                        parameters_.Get(name + ".running_mean"),
                        parameters_.Get(name + ".running_var"), training, kNormMomentum,
                        kNormEpsilon, true);
}

at::Tensor ResNet::Block(int stage, int64_t block, const at::Tensor& x, bool training) const {
  const std::string at = BlockName(stage, block);
  const int64_t stride = stage > 0 && block == 0 ? 2 : 1;
  const auto conv = [&](const char* name, const at::Tensor& input, int64_t step) {
    const at::Tensor weight = parameters_.Get(at + name + ".weight");
    return at::conv2d(input, weight, {}, step, weight.size(2) / 2);
  };
  const int64_t first_stride = config_.bottleneck ? 1 : stride;
  at::Tensor y = at::relu(Norm(at + "bn1", conv("conv1", x, first_stride), training));
  y = Norm(at + "bn2", conv("conv2", y, config_.bottleneck ? stride : 1), training);
  if (config_.bottleneck) y = Norm(at + "bn3", conv("conv3", at::relu(y), 1), training);
  if (!parameters_.Has(at + "downsample.0.weight")) return at::relu(y + x);
  return at::relu(y + Norm(at + "downsample.1", conv("downsample.0", x, stride), training));
}

at::Tensor ResNet::Forward(const at::Tensor& images, bool training) const {
  if (images.dim() != 4 || images.size(1) != config_.image_channels) {
    throw UsageError("images must be [batch, " + std::to_string(config_.image_channels) +
                     ", height, width]");
  }
  at::Tensor x = at::conv2d(images, parameters_.Get("conv1.weight"), {}, 2, 3);
  x = at::relu(Norm("bn1", x, training));
  x = at::max_pool2d(x, 3, 2, 1);
  for (int stage = 0; stage < 4; ++stage) {
    for (int64_t block = 0; block < config_.blocks[stage]; ++block) {
      x = Block(stage, block, x, training);
    }
  }
  x = at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
  return at::linear(x, parameters_.Get("fc.weight"), parameters_.Get("fc.bias"));
}

ResNet LoadResNet(const io::Checkpoint& checkpoint, at::ScalarType dtype, bool requires_grad) {
  Parameters parameters;
  for (const io::TensorInfo& tensor : checkpoint.tensors()) {
    at::Tensor value = io::ReadTensor(checkpoint, tensor.name);
    if (io::IsFloat(tensor.dtype)) value = value.to(dtype);
    const bool statistic = tensor.name.find(".running_") != std::string::npos;
    if (requires_grad && io::IsFloat(tensor.dtype) && !statistic) value.requires_grad_(true);
    parameters.Add({tensor.name, tensor.name, std::move(value)});
  }
  const ResNetConfig config = ReadResNetConfig(parameters);
  return ResNet(config, std::move(parameters));
}

Parameters InitialiseResNet(const ResNetConfig& config, uint64_t seed, at::ScalarType dtype) {
  const at::TensorOptions options = at::TensorOptions().dtype(dtype);
  Parameters parameters;
  int64_t features = 1;
  const Shapes shapes(config);
  for (const TensorShape& tensor : shapes.all()) {
    at::Tensor value;
    if (tensor.shape.size() == 4) {
      const double fan_out =
          static_cast<double>(tensor.shape[0] * tensor.shape[2] * tensor.shape[3]);
      value = RandomNormal(tensor.name, tensor.shape, std::sqrt(2 / fan_out), seed, dtype);
    } else if (tensor.name.starts_with("fc.")) {
      if (tensor.shape.size() == 2) features = tensor.shape[1];
      const double bound = 1 / std::sqrt(static_cast<double>(features));
      value = RandomUniform(tensor.name, tensor.shape, bound, seed, dtype);
    } else if (tensor.shape.empty()) {
      value = at::zeros({}, at::TensorOptions().dtype(at::kLong));
    } else {
      const bool one = tensor.name.ends_with(".weight") || tensor.name.ends_with(".running_var");
      value = one ? at::ones(tensor.shape, options) : at::zeros(tensor.shape, options);
    }
    parameters.Add({tensor.name, tensor.name, value});
  }
  return parameters;
}

}  // namespace orchard::nn
