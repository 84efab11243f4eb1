#include "nn/resnet.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <utility>

#include "arch/resnet.h"
#include "base/error.h"
#include "io/torch/tensors.h"
#include "nn/random_tensor.h"

namespace orchard::nn {
namespace {

constexpr double kNormEpsilon = 1e-5, kNormMomentum = 0.1;

bool IsStatistic(const arch::ResNetTensor& tensor) {
  return tensor.kind == arch::Kind::kStatistic || tensor.shape.empty();
}

}  // namespace

// One way through the network. In training, `measured` collects the statistics of the batch.
class ResNet::Pass {
 public:
  Pass(const ResNet& network, bool training) : network_(network), training_(training) {}

  at::Tensor Stem(const at::Tensor& images) {
    const arch::ResNetShape& shape = network_.shape_;
    if (images.dim() != 4 || images.size(1) != shape.image_channels) {
      throw UsageError("images must be [batch, " + std::to_string(shape.image_channels) +
                       ", height, width]");
    }
    const at::Tensor x = at::relu(Norm("bn1", Convolve("conv1", images, 2)));
    return at::max_pool2d(x, 3, 2, 1);
  }

  at::Tensor Block(int64_t index, const at::Tensor& x) {
    const arch::ResNetShape& shape = network_.shape_;
    const auto [stage, block] = arch::ResNetBlockAt(shape, index);
    const std::string at = arch::ResNetBlockPrefix(stage, block);
    const int64_t stride = stage > 0 && block == 0 ? 2 : 1;
    at::Tensor y = Convolve(at + "conv1", x, shape.bottleneck ? 1 : stride);
    y = Convolve(at + "conv2", at::relu(Norm(at + "bn1", y)), shape.bottleneck ? stride : 1);
    y = Norm(at + "bn2", y);
    if (shape.bottleneck) y = Norm(at + "bn3", Convolve(at + "conv3", at::relu(y), 1));
    if (!shape.HasDownsample(stage, block)) return at::relu(y + x);
    return at::relu(y + Norm(at + "downsample.1", Convolve(at + "downsample.0", x, stride)));
  }

  at::Tensor Head(const at::Tensor& x) const {
    const at::Tensor features = at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
    return at::linear(features, Get("fc.weight"), Get("fc.bias"));
  }

  at::Tensor All(const at::Tensor& images) {
    at::Tensor x = Stem(images);
    for (int64_t i = 0; i < network_.shape_.Depth(); ++i) x = Block(i, x);
    return Head(x);
  }

  at::Tensor measured() const { return at::cat(measured_); }

 private:
  at::Tensor Get(const std::string& name) const { return network_.parameters_.Get(name); }

  at::Tensor Convolve(const std::string& name, const at::Tensor& x, int64_t stride) const {
    const at::Tensor weight = Get(name + ".weight");
    const int64_t padding = weight.size(2) / 2;
    const at::ScalarType compute = network_.compute_.value_or(weight.scalar_type());
    return at::conv2d(x.to(compute), weight.to(compute), {}, stride, padding)
        .to(weight.scalar_type());
  }

  at::Tensor Norm(const std::string& name, const at::Tensor& x) {
    const at::Tensor gain = Get(name + ".weight"), bias = Get(name + ".bias");
    if (!training_) {
      return at::batch_norm(x, gain, bias, Get(name + ".running_mean"), Get(name + ".running_var"),
                            false, kNormMomentum, kNormEpsilon, true);
    }
    if (x.numel() == x.size(1)) {
      throw UsageError("a batch norm in training sees one value per channel", name,
                       "a larger batch or larger images");
    }
    // With a momentum of 1 the running statistics become the batch's.
    const at::Tensor mean = at::zeros_like(gain), variance = at::zeros_like(gain);
    measured_.push_back(mean);
    measured_.push_back(variance);
    return at::batch_norm(x, gain, bias, mean, variance, true, 1, kNormEpsilon, true);
  }

  const ResNet& network_;
  bool training_;
  std::vector<at::Tensor> measured_;
};

ResNet::ResNet(arch::ResNetShape shape, Parameters parameters,
               std::optional<at::ScalarType> compute)
    : shape_(shape), parameters_(std::move(parameters)), compute_(compute) {
  for (const arch::ResNetTensor& expected : arch::ResNetTensors(shape_)) {
    if (expected.name.ends_with(".running_mean")) {
      norms_.push_back(expected.name.substr(0, expected.name.rfind('.')));
    }
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

at::Tensor ResNet::Forward(const at::Tensor& images, bool training) const {
  if (!training) return Pass(*this, false).All(images);
  at::Tensor measured;
  at::Tensor logits = Forward(images, measured);
  MoveStatistics(measured);
  return logits;
}

at::Tensor ResNet::Forward(const at::Tensor& images, at::Tensor& measured) const {
  Pass pass(*this, true);
  at::Tensor logits = pass.All(images);
  measured = pass.measured();
  return logits;
}

void ResNet::MoveStatistics(const at::Tensor& measured) const {
  const at::NoGradGuard no_grad;
  int64_t at = 0;
  for (const std::string& norm : norms_) {
    for (const char* part : {".running_mean", ".running_var"}) {
      at::Tensor running = parameters_.Get(norm + part);
      const at::Tensor batch = measured.narrow(0, at, running.numel());
      running.copy_(running * (1 - kNormMomentum) + batch * kNormMomentum);
      at += running.numel();
    }
    at::Tensor count = parameters_.Find(norm + ".num_batches_tracked");
    if (count.defined()) count.add_(1);
  }
}

at::Tensor ResNet::Stem(const at::Tensor& images) const { return Pass(*this, false).Stem(images); }
at::Tensor ResNet::Block(int64_t index, const at::Tensor& x) const {
  return Pass(*this, false).Block(index, x);
}
at::Tensor ResNet::Head(const at::Tensor& x) const { return Pass(*this, false).Head(x); }

Parameters LoadResNetParameters(const io::Checkpoint& checkpoint, at::ScalarType dtype) {
  const arch::ResNetShape shape =
      arch::ReadResNetShape(checkpoint, checkpoint.files().front().string());
  const arch::Architecture table = arch::ResNetArchitecture(shape);
  Parameters parameters;
  for (const io::TensorInfo& tensor : checkpoint.tensors()) {
    const auto match = table.Find(tensor.name);
    if (!match) throw DataError("a tensor that a ResNet does not have", checkpoint.Where(tensor));
    at::Tensor value = io::ReadTensor(checkpoint, tensor.name);
    const bool number = io::IsFloat(tensor.dtype);
    if (number) value = value.to(dtype);
    const bool measured = match->rule->kind == arch::Kind::kStatistic || !number;
    parameters.Add({tensor.name, tensor.name, std::move(value), measured});
  }
  return parameters;
}

ResNet LoadResNet(const io::Checkpoint& checkpoint, at::ScalarType dtype,
                  std::optional<at::ScalarType> compute) {
  return ResNet(arch::ReadResNetShape(checkpoint, checkpoint.files().front().string()),
                LoadResNetParameters(checkpoint, dtype), compute);
}

Parameters InitialiseResNet(const arch::ResNetShape& shape, uint64_t seed, at::ScalarType dtype) {
  const at::TensorOptions options = at::TensorOptions().dtype(dtype);
  Parameters parameters;
  int64_t features = 1;
  for (const arch::ResNetTensor& tensor : arch::ResNetTensors(shape)) {
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
    parameters.Add({tensor.name, tensor.name, value, IsStatistic(tensor)});
  }
  return parameters;
}

}  // namespace orchard::nn
