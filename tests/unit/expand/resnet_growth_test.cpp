// Whether grown residual networks compute what their source does, and whether `verify` can tell.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "expand/compare.h"
#include "expand/expand_model.h"
#include "expand/plan.h"
#include "expand/verify.h"
#include "io/torch/tensors.h"
#include "nn/network.h"
#include "nn/random_tensor.h"
#include "tiny_resnet.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

using orchard::testing::ScratchDir;

at::Tensor Logits(const std::filesystem::path& model) {
  const at::NoGradGuard no_grad;
  const at::Tensor images = nn::RandomNormal("images", {2, 1, 40, 48}, 1, 1, at::kDouble);
  return nn::LoadNetwork(model, at::kDouble, at::kDouble).Forward({.images = images}).class_logits;
}

double Difference(const std::filesystem::path& a, const std::filesystem::path& b) {
  const at::Tensor from = Logits(a), to = Logits(b);
  return ((to - from).abs().max() / from.abs().max()).item<double>();
}

class Growth : public ::testing::TestWithParam<bool> {
 protected:
  Growth() { WriteTinyResNet(scratch_ / "source", TinyResNet(GetParam()), io::DType::kF64); }

  // Grows into "grown"; the plan.
  Plan Grow(const TargetOptions& target, const MethodOptions& method = {}) {
    const SourceModel source = OpenModel(scratch_ / "source", {});
    Plan plan = MakePlan(source, target, method);
    ExpandModel(source, plan, method, scratch_ / "grown", {.force = true});
    return plan;
  }
  double Changed() const { return Difference(scratch_ / "source", scratch_ / "grown"); }
  VerifyResult Check() const { return Verify(scratch_ / "source", scratch_ / "grown", {}, 0); }

  ScratchDir scratch_;
};

INSTANTIATE_TEST_SUITE_P(, Growth, ::testing::Bool(), [](const auto& info) {
  return info.param ? "Bottlenecks" : "BasicBlocks";
});

TEST_P(Growth, InEveryWidthAndPlacementKeepsTheFunction) {
  for (const TargetOptions& width :
       {TargetOptions{.width_per_group = 8}, TargetOptions{.width_per_group = 11},
        TargetOptions{.channels = 8}, TargetOptions{.width_per_group = 5, .channels = 7}}) {
    for (const Placement placement :
         {Placement::kLast, Placement::kStack, Placement::kInterpolate}) {
      TargetOptions target = width;
      target.depths = {4, 3, 1, 5};
      MethodOptions method;
      method.placement = placement;
      Grow(target, method);
      EXPECT_LT(Changed(), 1e-12);
    }
  }
}

TEST_P(Growth, ByOtherLosslessMethodsKeepsTheFunction) {
  for (const Method method : {Method::kNet2Net, Method::kHyperCloning, Method::kZeroPad}) {
    MethodOptions options;
    options.method = method;
    EXPECT_TRUE(
        Grow({.width_per_group = 8, .channels = 8, .depths = {3, 2, 1, 2}}, options).lossless);
    EXPECT_LT(Changed(), 1e-12) << Name(method);
  }
}

TEST_P(Growth, ByCopiesThatAreNotSilentChangesIt) {
  for (const Method method : {Method::kStackBert, Method::kInterpolate, Method::kRandom}) {
    MethodOptions options;
    options.method = method;
    EXPECT_FALSE(Grow({.depths = {3, 2, 1, 3}}, options).lossless);
    EXPECT_GT(Changed(), 1e-2) << Name(method);
  }
}

TEST_P(Growth, TwiceIsGrowth) {
  Grow({.width_per_group = 6, .depths = {3, 2, 1, 2}});
  std::filesystem::rename(scratch_ / "grown", scratch_ / "middle");
  const SourceModel middle = OpenModel(scratch_ / "middle", {});
  const TargetOptions target{.width_per_group = 9, .channels = 5, .depths = {3, 4, 1, 2}};
  ExpandModel(middle, MakePlan(middle, target, {}), {}, scratch_ / "grown", {});
  EXPECT_LT(Changed(), 1e-12);
}

TEST_P(Growth, PassesVerificationBlockByBlock) {
  Grow({.width_per_group = 7, .channels = 6, .depths = {3, 2, 1, 4}});
  const VerifyResult result = Check();
  EXPECT_TRUE(result.passed) << result.first_bad;
  EXPECT_EQ(result.exactness, "A");
  EXPECT_EQ(result.tolerance, 1e-11);
  ASSERT_EQ(result.layers.size(), 11u);  // the stem and ten blocks
  EXPECT_EQ(result.layers[0].place, "stem");
  EXPECT_EQ(result.layers[10].place, "layer4.3");
  EXPECT_EQ(result.top1_agreement, 1);
}

TEST_P(Growth, VerificationNamesTheFirstBlockThatDiffers) {
  Grow({.width_per_group = 7, .depths = {3, 2, 1, 2}});
  const std::filesystem::path file = scratch_ / "grown/model.safetensors";
  std::map<std::string, at::Tensor> tensors = io::ReadTensors(io::Checkpoint::Open(file));
  tensors.at("layer2.1.bn1.bias").add_(1e-3);
  io::SaveTensors(file, tensors);
  const VerifyResult result = Check();
  EXPECT_FALSE(result.passed);
  EXPECT_EQ(result.first_bad, "layer2.1");
}

TEST_P(Growth, ABareFileGrowsIntoADirectory) {
  std::filesystem::remove(scratch_ / "source/config.json");
  const SourceModel source = OpenModel(scratch_ / "source/model.safetensors", {});
  const std::filesystem::path beside = scratch_ / "source/grown";
  ExpandModel(source, MakePlan(source, {.width_per_group = 8}, {}), {}, beside, {});
  EXPECT_LT(Difference(scratch_ / "source/model.safetensors", beside), 1e-12);
  EXPECT_TRUE(std::filesystem::exists(beside / "config.json"));
}

TEST_P(Growth, IsComparedAcrossMethods) {
  const Comparison comparison =
      Compare(scratch_ / "source",
              {.target = {.width_per_group = 8, .channels = 8, .depths = {3, 2, 1, 2}},
               .compute = ComputeType::kF64},
              {});
  std::map<std::string, MethodOutcome> by_name;
  for (const MethodOutcome& m : comparison.methods) by_name[Name(m.method)] = m;
  EXPECT_LT(by_name["lemon"].relative, 1e-12);
  EXPECT_GT(*by_name["lemon"].divergence, 0.01);
  EXPECT_LT(by_name["hypercloning"].relative, 1e-12);
  EXPECT_EQ(*by_name["hypercloning"].divergence, 0);
  EXPECT_GT(by_name["stackbert"].relative, 1e-3);
  EXPECT_FALSE(by_name["aki"].refused.empty());
}

}  // namespace
}  // namespace orchard::expand
