#include "nn/resnet_v2.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>

#include <array>
#include <string>
#include <vector>

#include "base/error.h"

namespace orchard::nn {
namespace {

struct BottleneckShape {
  std::string name;
  int64_t in, out, stride;
  bool first;  // of its stage
};

std::array<int64_t, 4> BlocksOf(int64_t depth) {
  switch (depth) {
    case 50:
      return {3, 4, 6, 3};
    case 101:
      return {3, 4, 23, 3};
    case 152:
      return {3, 8, 36, 3};
    default:
      throw UsageError("no residual network of this depth", "model.arch",
                       "resnet50-v2, resnet101-v2 or resnet152-v2");
  }
}

class ResNetV2 : public ImageNetwork {
 public:
  ResNetV2(int64_t depth, const ImageNetworkOptions& options) : ImageNetwork(options) {
    const std::array<int64_t, 4> blocks = BlocksOf(depth);
    if (options.shape.height < 32 || options.shape.width < 32) {
      throw UsageError("resnet-v2 needs images of 32 pixels a side", "model.arch");
    }
    AddNorm("stem.input_norm", options.shape.channels, false);
    AddWeight("stem.conv.weight", {64, options.shape.channels, 7, 7});
    AddNorm("stem.norm", 64);
    int64_t channels = 64;
    for (size_t stage = 0; stage < blocks.size(); ++stage) {
      const int64_t out = int64_t{256} << stage;
      for (int64_t i = 0; i < blocks[stage]; ++i) {
        const std::string name = "stages." + std::to_string(stage) + "." + std::to_string(i);
        AddBlock({name, channels, out, stage > 0 && i == 0 ? 2 : 1, i == 0});
        channels = out;
      }
    }
    AddNorm("norm", channels);
    AddWeight("fc.weight", {options.shape.classes, channels});
    AddBias("fc.bias", options.shape.classes, channels);
  }

  at::Tensor Forward(const at::Tensor& images, bool training) const override {
    at::Tensor x = Convolve(Norm(images, "stem.input_norm", training), "stem.conv", 2);
    x = at::max_pool2d(at::relu(Norm(x, "stem.norm", training)), 3, 2, 1);
    for (const BottleneckShape& block : blocks_) x = Block(x, block, training);
    x = at::relu(Norm(x, "norm", training));
    return Linear(at::adaptive_avg_pool2d(x, {1, 1}).flatten(1), "fc");
  }

 private:
  void AddBlock(const BottleneckShape& b) {
    const int64_t middle = b.out / 4;
    AddNorm(b.name + ".norm1", b.in);
    AddWeight(b.name + ".conv1.weight", {middle, b.in, 1, 1});
    AddNorm(b.name + ".norm2", middle);
    AddWeight(b.name + ".conv2.weight", {middle, middle, 3, 3});
    AddNorm(b.name + ".norm3", middle);
    AddWeight(b.name + ".conv3.weight", {b.out, middle, 1, 1});
    if (b.first) AddWeight(b.name + ".shortcut.weight", {b.out, b.in, 1, 1});
    blocks_.push_back(b);
  }

  at::Tensor Block(const at::Tensor& x, const BottleneckShape& b, bool training) const {
    const at::Tensor h = at::relu(Norm(x, b.name + ".norm1", training));
    const at::Tensor shortcut = b.first ? Convolve(h, b.name + ".shortcut", b.stride) : x;
    at::Tensor y = Convolve(h, b.name + ".conv1", 1);
    y = Convolve(at::relu(Norm(y, b.name + ".norm2", training)), b.name + ".conv2", b.stride);
    y = Convolve(at::relu(Norm(y, b.name + ".norm3", training)), b.name + ".conv3", 1);
    return y + shortcut;
  }

  std::vector<BottleneckShape> blocks_;
};

}  // namespace

std::unique_ptr<ImageNetwork> MakeResNetV2(int64_t depth, const ImageNetworkOptions& options) {
  return std::make_unique<ResNetV2>(depth, options);
}

}  // namespace orchard::nn
