#include "nn/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "nn/random_tensor.h"
#include "unit/nn/tiny_models.h"

namespace orchard::nn {
namespace {

at::Tensor Integers(std::vector<int64_t> values, at::IntArrayRef shape) {
  return at::tensor(values, at::kLong).view(shape);
}

TEST(Loss, UniformLogitsCostLogOfTheClasses) {
  const at::Tensor loss =
      TokenLoss(at::zeros({2, 3, 5}, at::kDouble), Integers({0, 1, 2, 3, 4, 0}, {2, 3}));
  EXPECT_NEAR(loss.item().toDouble(), std::log(5.0), 1e-12);
}

TEST(Loss, CountsPredictedTokensOnly) {
  const at::Tensor logits = RandomNormal("logits", {1, 3, 4}, 2, 1, at::kDouble);
  const double all = TokenLoss(logits.narrow(1, 1, 1), Integers({2}, {1, 1})).item().toDouble();
  EXPECT_NEAR(TokenLoss(logits, Integers({-100, 2, -100}, {1, 3})).item().toDouble(), all, 1e-12);
  EXPECT_EQ(TokenLoss(logits, Integers({-100, -100, -100}, {1, 3})).item().toDouble(), 0);
}

TEST(Loss, NextTokensShiftAndSkipPadding) {
  const at::Tensor tokens = Integers({5, 6, 7, 8}, {1, 4});
  EXPECT_TRUE(NextTokens(tokens).equal(Integers({6, 7, 8, -100}, {1, 4})));
  const at::Tensor mask = Integers({1, 1, 0, 0}, {1, 4});
  EXPECT_TRUE(NextTokens(tokens, mask).equal(Integers({6, -100, -100, -100}, {1, 4})));
}

TEST(Loss, SmoothedSoftTargetsEqualLabelSmoothing) {
  const at::Tensor logits = RandomNormal("logits", {4, 6}, 2, 1, at::kDouble);
  const at::Tensor labels = Integers({0, 5, 2, 2}, {4});
  for (const double smoothing : {0.0, 0.1}) {
    const at::Tensor hard =
        CrossEntropy(logits, labels, {.ignore_index = -100, .label_smoothing = smoothing});
    const at::Tensor soft =
        SoftTargetLoss(logits, SmoothTargets(labels, 6, smoothing, at::kDouble));
    EXPECT_NEAR(hard.item().toDouble(), soft.item().toDouble(), 1e-12);
  }
}

}  // namespace
}  // namespace orchard::nn
