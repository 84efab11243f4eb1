#include "nn/wide_resnet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/relu.h>

#include <string>
#include <vector>

namespace orchard::nn {
namespace {

struct BlockShape {
  std::string name;
  int64_t in, out, stride;
};

class WideResNet : public ImageNetwork {
 public:
  WideResNet(int64_t depth, int64_t width, const ImageNetworkOptions& options)
      : ImageNetwork(options) {
    const int64_t per_stage = (depth - 4) / 6;
    if (options.stem_norms) AddNorm("stem.input_norm", options.shape.channels, false);
    AddWeight("stem.conv.weight", {16, options.shape.channels, 3, 3});
    if (options.stem_norms) AddNorm("stem.norm", 16);
    int64_t channels = 16;
    for (int64_t stage = 0; stage < 3; ++stage) {
      const int64_t out = (int64_t{16} << stage) * width;
      for (int64_t i = 0; i < per_stage; ++i) {
        const std::string name = "stages." + std::to_string(stage) + "." + std::to_string(i);
        AddBlock({name, channels, out, stage > 0 && i == 0 ? 2 : 1});
        channels = out;
      }
    }
    AddNorm("norm", channels);
    AddWeight("fc.weight", {options.shape.classes, channels});
    AddBias("fc.bias", options.shape.classes, channels);
  }

  at::Tensor Forward(const at::Tensor& images, bool training) const override {
    at::Tensor x = images;
    if (options_.stem_norms) x = Norm(x, "stem.input_norm", training);
    x = Convolve(x, "stem.conv", 1);
    if (options_.stem_norms) x = Norm(x, "stem.norm", training);
    for (const BlockShape& block : blocks_) x = Block(x, block, training);
    x = at::relu(Norm(x, "norm", training));
    return Linear(at::adaptive_avg_pool2d(x, {1, 1}).flatten(1), "fc");
  }

 private:
  void AddBlock(const BlockShape& b) {
    AddNorm(b.name + ".norm1", b.in);
    AddWeight(b.name + ".conv1.weight", {b.out, b.in, 3, 3});
    AddNorm(b.name + ".norm2", b.out);
    AddWeight(b.name + ".conv2.weight", {b.out, b.out, 3, 3});
    if (b.in != b.out) AddWeight(b.name + ".shortcut.weight", {b.out, b.in, 1, 1});
    blocks_.push_back(b);
  }

  // A shortcut that changes the width starts from the activated input.
  at::Tensor Block(const at::Tensor& x, const BlockShape& b, bool training) const {
    const at::Tensor h = at::relu(Norm(x, b.name + ".norm1", training));
    const at::Tensor shortcut = b.in == b.out ? x : Convolve(h, b.name + ".shortcut", b.stride);
    const at::Tensor y =
        at::relu(Norm(Convolve(h, b.name + ".conv1", b.stride), b.name + ".norm2", training));
    return Convolve(y, b.name + ".conv2", 1) + shortcut;
  }

  std::vector<BlockShape> blocks_;
};

}  // namespace

std::unique_ptr<ImageNetwork> MakeWideResNet(int64_t depth, int64_t width,
                                             const ImageNetworkOptions& options) {
  return std::make_unique<WideResNet>(depth, width, options);
}

}  // namespace orchard::nn
