#include "nn/rotary.h"

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>

#include "nn/random_tensor.h"
#include "unit/nn/tiny_models.h"

namespace orchard::nn {
namespace {

RotaryTable Table(const RopeConfig& rope, int64_t length) {
  return MakeRotaryTable(rope, length, at::kDouble, at::kCPU);
}

TEST(Rotary, KeepsTheNormOfEveryPair) {
  const at::Tensor x = RandomNormal("x", {2, 7, 3, 8}, 1, 1, at::kDouble);
  const at::Tensor y = Rotate(x, Table({.theta = 100, .dim = 8}, 7));
  const auto pairs = [](const at::Tensor& t) {
    return t.narrow(-1, 0, 4).square() + t.narrow(-1, 4, 4).square();
  };
  EXPECT_LT(MaxDifference(pairs(x), pairs(y)), 1e-6);  // the table is rounded to f32
  EXPECT_EQ(MaxDifference(x.select(1, 0), y.select(1, 0)), 0);
  EXPECT_GT(MaxDifference(x.select(1, 1), y.select(1, 1)), 0.1);
}

TEST(Rotary, ScoresDependOnDistanceOnly) {
  const at::Tensor q = RandomNormal("q", {1, 1, 1, 8}, 1, 1, at::kDouble).expand({1, 20, 1, 8});
  const at::Tensor k = RandomNormal("k", {1, 1, 1, 8}, 1, 1, at::kDouble).expand({1, 20, 1, 8});
  const RotaryTable table = Table({.theta = 50, .dim = 8}, 20);
  const at::Tensor turned_q = Rotate(q, table), turned_k = Rotate(k, table);
  const auto score = [&](int64_t i, int64_t j) {
    return (turned_q.select(1, i) * turned_k.select(1, j)).sum().item().toDouble();
  };
  EXPECT_NEAR(score(5, 2), score(19, 16), 1e-5);
  EXPECT_GT(std::abs(score(5, 2) - score(5, 4)), 1e-3);
}

TEST(Rotary, LeavesTheRestOfAHeadAlone) {
  const at::Tensor x = RandomNormal("x", {1, 5, 2, 10}, 1, 1, at::kDouble);
  const at::Tensor y = Rotate(x, Table({.theta = 100, .dim = 6}, 5));
  EXPECT_EQ(MaxDifference(x.narrow(-1, 6, 4), y.narrow(-1, 6, 4)), 0);
}

TEST(Rotary, LinearScalingStretchesPositions) {
  RopeConfig rope{.theta = 100, .dim = 8};
  const RotaryTable plain = Table(rope, 3);
  rope.scaling = RopeConfig::Scaling::kLinear;
  rope.factor = 4;
  const RotaryTable stretched = Table(rope, 9);
  EXPECT_EQ(MaxDifference(stretched.cos.select(0, 8), plain.cos.select(0, 2)), 0);
}

TEST(Rotary, Llama3ScalingKeepsShortWavelengthsAndDividesLongOnes) {
  RopeConfig rope{.theta = 1e6, .dim = 32};
  const at::Tensor plain = RotaryFrequencies(rope);
  rope.scaling = RopeConfig::Scaling::kLlama3;
  rope.factor = 8;
  rope.original_max_positions = 64;
  const at::Tensor ratio = plain / RotaryFrequencies(rope);
  EXPECT_EQ(ratio[0].item().toDouble(), 1);
  EXPECT_EQ(ratio[15].item().toDouble(), 8);
  EXPECT_GE(ratio.min().item().toDouble(), 1);
  EXPECT_LE(ratio.max().item().toDouble(), 8);
}

}  // namespace
}  // namespace orchard::nn
