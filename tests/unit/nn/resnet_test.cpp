#include "nn/resnet.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/conv2d.h>
#include <gtest/gtest.h>

#include <cmath>

#include "arch/resnet.h"
#include "base/error.h"
#include "nn/random_tensor.h"
#include "unit/nn/tiny_models.h"

namespace orchard::nn {
namespace {

arch::ResNetShape Tiny(bool bottleneck) {
  return {.bottleneck = bottleneck, .blocks = {1, 2, 1, 1}, .stem = 4, .inner = 6, .classes = 5};
}

at::Tensor Images() { return RandomNormal("images", {2, 3, 64, 64}, 1, 1, at::kDouble); }

TEST(ResNet, KnownNetworksHaveTheirPublishedParameterCounts) {
  for (const auto& [name, expected] :
       {std::pair{"resnet18", 11689512}, {"resnet50", 25557032}, {"wide_resnet101_2", 126886696}}) {
    const Parameters parameters = InitialiseResNet(arch::FindResNet(name), 0, at::kFloat);
    int64_t trained = 0;
    for (const Parameter& parameter : parameters.all()) {
      if (!parameter.measured) trained += parameter.value.numel();
    }
    EXPECT_EQ(trained, expected) << name;
  }
  EXPECT_THROW(arch::FindResNet("resnet51"), UsageError);
}

TEST(ResNet, GradientsEqualFiniteDifferencesInTraining) {
  for (const bool bottleneck : {false, true}) {
    const Parameters parameters = InitialiseResNet(Tiny(bottleneck), 3, at::kDouble);
    const ResNet network(Tiny(bottleneck), parameters);
    const auto objective = [&] {
      const at::Tensor logits = network.Forward(Images(), true);
      return (logits * RandomNormal("objective", logits.sizes(), 1, 1, at::kDouble)).sum();
    };
    for (const char* name : {"conv1.weight", "bn1.weight", "layer2.0.conv2.weight",
                             "layer2.0.downsample.0.weight", "layer4.0.bn2.bias", "fc.weight"}) {
      at::Tensor value = parameters.Get(name);
      value.requires_grad_(true);
      objective().backward();
      const at::NoGradGuard no_grad;
      const at::Tensor direction = RandomNormal(name, value.sizes(), 1, 2, at::kDouble);
      const double step =
          1e-8;  // small: units of ReLU and max-pooling that switch spoil the difference
      value.add_(direction, step);
      const double up = objective().item().toDouble();
      value.add_(direction, -2 * step);
      const double down = objective().item().toDouble();
      value.add_(direction, step);
      const double expected = (up - down) / (2 * step);
      const double actual = (value.grad() * direction).sum().item().toDouble();
      EXPECT_NEAR(actual, expected, 1e-4 * (1 + std::abs(expected))) << name;
      value.requires_grad_(false);
    }
  }
}

TEST(ResNet, TrainingMovesTheRunningStatisticsByATenth) {
  const Parameters parameters = InitialiseResNet(Tiny(false), 3, at::kDouble);
  const ResNet network(Tiny(false), parameters);
  const at::Tensor stem = at::conv2d(Images(), parameters.Get("conv1.weight"), {}, 2, 3);
  network.Forward(Images(), false);
  EXPECT_EQ(parameters.Get("bn1.running_mean").abs().max().item().toDouble(), 0);
  network.Forward(Images(), true);
  const at::Tensor channels = stem.transpose(0, 1).reshape({4, -1});
  EXPECT_LT(MaxDifference(parameters.Get("bn1.running_mean"), channels.mean(1) * 0.1), 1e-12);
  EXPECT_LT(MaxDifference(parameters.Get("bn1.running_var"), channels.var(1) * 0.1 + 0.9), 1e-12);
  EXPECT_EQ(parameters.Get("bn1.num_batches_tracked").item().toLong(), 1);
}

TEST(ResNet, MeasuringLeavesTheStatisticsAloneUntilTheyAreMoved) {
  const Parameters at_once = InitialiseResNet(Tiny(true), 3, at::kDouble);
  const Parameters later = InitialiseResNet(Tiny(true), 3, at::kDouble);
  const ResNet network(Tiny(true), later);
  at::Tensor measured;
  const at::Tensor logits = network.Forward(Images(), measured);
  EXPECT_EQ(MaxDifference(logits, ResNet(Tiny(true), at_once).Forward(Images(), true)), 0);
  EXPECT_EQ(later.Get("layer3.0.bn2.running_mean").abs().max().item().toDouble(), 0);
  network.MoveStatistics(measured);
  for (const Parameter& parameter : later.all()) {
    EXPECT_EQ(MaxDifference(parameter.value, at_once.Get(parameter.slot)), 0) << parameter.name;
  }
}

TEST(ResNet, TrainingRefusesOneValuePerChannel) {
  const ResNet network(Tiny(false), InitialiseResNet(Tiny(false), 3, at::kDouble));
  const at::Tensor one = RandomNormal("images", {1, 3, 16, 16}, 1, 1, at::kDouble);
  EXPECT_THROW(network.Forward(one, true), UsageError);
  EXPECT_EQ(network.Forward(one).size(1), 5);
}

TEST(ResNet, PartsInOrderAreTheWhole) {
  const ResNet network(Tiny(true), InitialiseResNet(Tiny(true), 3, at::kDouble));
  at::Tensor x = network.Stem(Images());
  for (int64_t i = 0; i < network.shape().Depth(); ++i) x = network.Block(i, x);
  EXPECT_EQ(MaxDifference(network.Head(x), network.Forward(Images())), 0);
}

TEST(ResNet, ConvolutionsAloneAreComputedInTheirOwnPrecision) {
  const Parameters parameters = InitialiseResNet(Tiny(true), 3, at::kFloat);
  const at::Tensor images = Images().to(at::kFloat);
  const at::Tensor exact = ResNet(Tiny(true), parameters).Forward(images);
  const at::Tensor rounded = ResNet(Tiny(true), parameters, at::kBFloat16).Forward(images);
  EXPECT_EQ(rounded.scalar_type(), at::kFloat);
  EXPECT_GT(MaxDifference(rounded, exact), 0);
  EXPECT_LT(MaxDifference(rounded, exact), 0.1 * exact.abs().max().item().toDouble());
}

TEST(ResNet, BlockWithSilentLastNormPassesItsInput) {
  // What makes a new block neutral: its input is not negative already.
  const Parameters parameters = InitialiseResNet(Tiny(true), 3, at::kDouble);
  const at::Tensor before = ResNet(Tiny(true), parameters).Forward(Images());
  arch::ResNetShape deeper = Tiny(true);
  deeper.blocks[1] = 3;
  Parameters grown;
  const Parameters fresh = InitialiseResNet(deeper, 4, at::kDouble);
  for (const Parameter& parameter : fresh.all()) {
    at::Tensor value = parameters.Find(parameter.slot);
    if (!value.defined()) value = parameter.value;
    if (parameter.slot == "layer2.2.bn3.weight") value.zero_();
    grown.Add({parameter.name, parameter.slot, value});
  }
  EXPECT_LT(MaxDifference(ResNet(deeper, grown).Forward(Images()), before), 1e-12);
}

TEST(ResNet, NamesTheTensorThatIsMissing) {
  Parameters fewer;
  const Parameters whole = InitialiseResNet(Tiny(false), 0, at::kFloat);
  for (const Parameter& parameter : whole.all()) {
    if (parameter.slot != "layer3.0.bn2.bias") fewer.Add(parameter);
  }
  EXPECT_THROW(ResNet(Tiny(false), fewer), DataError);
}

}  // namespace
}  // namespace orchard::nn
