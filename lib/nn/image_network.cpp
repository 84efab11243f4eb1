#include "nn/image_network.h"

#include <ATen/ops/batch_norm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>

#include <charconv>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "nn/random_tensor.h"
#include "nn/resnet_v2.h"
#include "nn/script_network.h"
#include "nn/wide_resnet.h"

namespace orchard::nn {
namespace {

constexpr double kNormEpsilon = 1e-5, kNormMomentum = 0.1;

class Perceptron : public ImageNetwork {
 public:
  Perceptron(const std::vector<int64_t>& sizes, const ImageNetworkOptions& options)
      : ImageNetwork(options), layers_(std::ssize(sizes) - 1) {
    for (int64_t i = 0; i < layers_; ++i) {
      AddWeight(Name(i) + ".weight", {sizes[i + 1], sizes[i]});
      AddBias(Name(i) + ".bias", sizes[i + 1], sizes[i]);
    }
  }

  at::Tensor Forward(const at::Tensor& images, bool) const override {
    at::Tensor x = images.flatten(1);
    for (int64_t i = 0; i < layers_; ++i) {
      x = Linear(x, Name(i));
      if (i + 1 < layers_) x = at::relu(x);
    }
    return x;
  }

 private:
  static std::string Name(int64_t layer) { return "layers." + std::to_string(layer); }
  int64_t layers_;
};

// LeCun et al., 1998, in the sizes of Caffe's example.
class LeNet : public ImageNetwork {
 public:
  explicit LeNet(const ImageNetworkOptions& o) : ImageNetwork(o) {
    const int64_t h = ((o.shape.height - 4) / 2 - 4) / 2, w = ((o.shape.width - 4) / 2 - 4) / 2;
    if (h < 1 || w < 1) throw UsageError("lenet needs images of 16 pixels a side", "model.arch");
    AddWeight("conv1.weight", {20, o.shape.channels, 5, 5});
    AddBias("conv1.bias", 20, o.shape.channels * 25);
    AddWeight("conv2.weight", {50, 20, 5, 5});
    AddBias("conv2.bias", 50, 500);
    AddWeight("fc1.weight", {500, 50 * h * w});
    AddBias("fc1.bias", 500, 50 * h * w);
    AddWeight("fc2.weight", {o.shape.classes, 500});
    AddBias("fc2.bias", o.shape.classes, 500);
  }

  at::Tensor Forward(const at::Tensor& images, bool) const override {
    at::Tensor x = at::conv2d(images, Get("conv1.weight"), Get("conv1.bias"));
    x = at::relu(at::max_pool2d(x, 2));
    x = at::conv2d(x, Get("conv2.weight"), Get("conv2.bias"));
    x = at::relu(at::max_pool2d(x, 2));
    return Linear(at::relu(Linear(x.flatten(1), "fc1")), "fc2");
  }
};

// "784-512-10" to numbers; empty where it is something else.
std::vector<int64_t> Numbers(std::string_view text) {
  std::vector<int64_t> numbers;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find('-'));
    int64_t number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    if (error != std::errc() || end != part.data() + part.size() || number < 1) return {};
    numbers.push_back(number);
    text.remove_prefix(std::min(text.size(), part.size() + 1));
  }
  return numbers;
}

}  // namespace

int64_t ImageNetwork::trained_elements() const {
  int64_t sum = 0;
  for (const Parameter& p : parameters_.all()) sum += p.measured ? 0 : p.value.numel();
  return sum;
}

void ImageNetwork::Add(const std::string& name, at::Tensor value, bool measured) {
  parameters_.Add({name, name, std::move(value), measured});
}

void ImageNetwork::AddWeight(const std::string& name, at::IntArrayRef shape) {
  int64_t field = 1;
  for (size_t i = 2; i < shape.size(); ++i) field *= shape[i];
  const auto fan_in = static_cast<double>(shape[1] * field);
  const auto fan_out = static_cast<double>(shape[0] * field);
  const double bound = options_.init == WeightInit::kXavier ? std::sqrt(6 / (fan_in + fan_out))
                                                            : 1 / std::sqrt(fan_in);
  Add(name, RandomUniform(name, shape, bound, options_.seed, at::kFloat), false);
}

void ImageNetwork::AddBias(const std::string& name, int64_t size, int64_t fan_in) {
  const double bound =
      options_.init == WeightInit::kXavier ? 0 : 1 / std::sqrt(static_cast<double>(fan_in));
  Add(name, RandomUniform(name, {size}, bound, options_.seed, at::kFloat), false);
}

void ImageNetwork::AddNorm(const std::string& name, int64_t channels, bool affine) {
  if (affine) {
    Add(name + ".weight", at::ones({channels}), false);
    Add(name + ".bias", at::zeros({channels}), false);
  }
  Add(name + ".running_mean", at::zeros({channels}), true);
  Add(name + ".running_var", at::ones({channels}), true);
}

at::Tensor ImageNetwork::Linear(const at::Tensor& x, const std::string& name) const {
  return at::linear(x, Get(name + ".weight"), Get(name + ".bias"));
}

at::Tensor ImageNetwork::Convolve(const at::Tensor& x, const std::string& name,
                                  int64_t stride) const {
  const at::Tensor weight = Get(name + ".weight");
  return at::conv2d(x, weight, {}, stride, weight.size(2) / 2);
}

at::Tensor ImageNetwork::Norm(const at::Tensor& x, const std::string& name, bool training) const {
  return at::batch_norm(x, parameters_.Find(name + ".weight"), parameters_.Find(name + ".bias"),
                        Get(name + ".running_mean"), Get(name + ".running_var"), training,
                        kNormMomentum, kNormEpsilon, true);
}

std::unique_ptr<ImageNetwork> MakeImageNetwork(std::string_view text,
                                               const ImageNetworkOptions& options) {
  const ImageShape& shape = options.shape;
  const int64_t pixels = shape.channels * shape.height * shape.width;
  if (text.ends_with(".pt")) return LoadScriptNetwork(text, options);
  if (text == "lenet") return std::make_unique<LeNet>(options);
  if (text == "logreg") {
    return std::make_unique<Perceptron>(std::vector<int64_t>{pixels, shape.classes}, options);
  }
  if (text.starts_with("mlp:")) {
    const std::vector<int64_t> sizes = Numbers(text.substr(4));
    if (sizes.size() >= 2) {
      if (sizes.front() != pixels || sizes.back() != shape.classes) {
        throw UsageError(
            "the first and last sizes are not those of the data", "model.arch",
            "begin with " + std::to_string(pixels) + ", end with " + std::to_string(shape.classes));
      }
      return std::make_unique<Perceptron>(sizes, options);
    }
  }
  if (text.starts_with("wrn-")) {
    const std::vector<int64_t> numbers = Numbers(text.substr(4));
    if (numbers.size() == 2 && numbers[0] >= 10 && (numbers[0] - 4) % 6 == 0) {
      return MakeWideResNet(numbers[0], numbers[1], options);
    }
  }
  if (text.starts_with("resnet") && text.ends_with("-v2")) {
    const std::vector<int64_t> depth = Numbers(text.substr(6, text.size() - 9));
    if (depth.size() == 1) return MakeResNetV2(depth[0], options);
  }
  throw UsageError("'" + std::string(text) + "' is no network for images", "model.arch",
                   "mlp:784-512-256-10, logreg, lenet, wrn-D-K with D = 6 n + 4, resnet50-v2, or a "
                   "TorchScript file, MODEL.pt; gpt2:L-D-H for texts");
}

}  // namespace orchard::nn
