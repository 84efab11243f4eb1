#include "sync/learning_rate.h"

#include <gtest/gtest.h>

#include "sync/predict.h"

namespace orchard::sync {
namespace {

TEST(LearningRate, FallsAtItsMilestones) {
  const LearningRate rate({.lr = 0.1}, 100, 10, 1);
  EXPECT_DOUBLE_EQ(rate.At(0), 0.1);
  EXPECT_DOUBLE_EQ(rate.At(59), 0.1);
  EXPECT_DOUBLE_EQ(rate.At(60), 0.1 * 0.2);
  EXPECT_DOUBLE_EQ(rate.At(80), 0.1 * 0.2 * 0.2);
}

TEST(LearningRate, TheCosineEndsAtZero) {
  const LearningRate rate({.lr = 0.1, .schedule = RateShape::kCosine}, 100, 10, 1);
  EXPECT_DOUBLE_EQ(rate.At(0), 0.1);
  EXPECT_NEAR(rate.At(50), 0.05, 1e-12);
  EXPECT_NEAR(rate.At(100), 0, 1e-12);
}

// E_w = max(4, round(ratio 5/128 (lr / 0.05) 2)): 160 epochs for 2048 at 0.05.
TEST(LearningRate, WarmsUpLongerForLargerRatiosAsThePaperDoes) {
  const RateOptions options = {.lr = 0.05, .warmup = Warmup::kAutoCser};
  EXPECT_EQ(LearningRate(options, 1000, 5, 2048).warmup_epochs(), 160);
  EXPECT_EQ(LearningRate(options, 1000, 5, 512).warmup_epochs(), 40);
  EXPECT_EQ(LearningRate(options, 1000, 5, 8).warmup_epochs(), 4);
  EXPECT_EQ(LearningRate(options, 1000, 5, 1).warmup_epochs(), 0);
  const LearningRate rate(options, 1000, 5, 512);
  EXPECT_DOUBLE_EQ(rate.At(0), 0.05 / 40);
  EXPECT_DOUBLE_EQ(rate.At(4), 0.05 / 40);
  EXPECT_DOUBLE_EQ(rate.At(5), 0.05 * 2 / 40);
}

// WRN-40-8 on 8 ranks: 143.18 MB of gradients are 250.6 MB per rank and step, 0.2 s at 10 Gb/s.
TEST(Predict, GivesTheStepOfWideResNetsOnTenGigabit) {
  PredictOptions options;
  options.params = 35'794'516;
  options.bandwidth = 1e10;
  options.compute_ms = 0;
  options.latency_us = 0;
  options.ratios = {1, 256};
  const Prediction p = Predict(options);
  EXPECT_NEAR(p.steps[0].bytes, 250.6e6, 0.05e6);
  EXPECT_NEAR(p.steps[0].seconds, 0.2005, 0.0001);
  EXPECT_NEAR(p.steps[1].bytes, 0.979e6, 0.001e6);
  EXPECT_NEAR(p.steps[1].seconds, 0.00078, 0.00001);
  EXPECT_NEAR(p.steps[1].speedup, 256, 1e-9);
}

TEST(Predict, NothingIsGainedWhereTheWireIsHidden) {
  PredictOptions options;
  options.params = 1'000'000;
  options.world = 4;
  options.bandwidth = 1e11;
  options.compute_ms = 30;
  options.overlap_ms = 20;
  const Prediction p = Predict(options);
  for (const StepPrediction& step : p.steps) EXPECT_EQ(step.speedup, 1);
  EXPECT_LT(p.break_even_bandwidth, options.bandwidth);
}

}  // namespace
}  // namespace orchard::sync
