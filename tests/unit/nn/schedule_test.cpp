#include "nn/schedule.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>

#include "base/error.h"

namespace orchard::nn {
namespace {

constexpr double kTiny = 1e-15;

TEST(Schedule, TimmCosineCountsFromTheFirstStepOfTheWarmUp) {
  const Schedule s(
      {.kind = ScheduleKind::kTimmCosine, .warmup = 50, .warmup_lr = 1e-6, .lr_min = 1e-5}, 1e-3,
      3000);
  EXPECT_EQ(s.At(0), 1e-6);
  EXPECT_NEAR(s.At(25), (1e-6 + 1e-3) / 2, kTiny);
  // The warm-up aims at the peak, but the cosine has already moved on: cos(pi / 60).
  EXPECT_NEAR(s.At(50), 1e-5 + (1e-3 - 1e-5) * (1 + std::cos(M_PI / 60)) / 2, kTiny);
  EXPECT_LT(s.At(50), 1e-3);
  EXPECT_NEAR(s.At(1500), (1e-3 + 1e-5) / 2, kTiny);
  EXPECT_EQ(s.At(3000), 1e-5);
  EXPECT_EQ(s.At(3100), 1e-5);  // timm's cool-down epochs
}

TEST(Schedule, BertCosineStartsAtThePeakAndEndsAtATenth) {
  const Schedule s({.kind = ScheduleKind::kBertCosine, .warmup = 20}, 2e-4, 220);
  EXPECT_EQ(s.At(0), 0);
  EXPECT_NEAR(s.At(10), 1e-4, kTiny);
  EXPECT_EQ(s.At(20), 2e-4);
  EXPECT_NEAR(s.At(120), (2e-4 + 2e-5) / 2, kTiny);
  EXPECT_NEAR(s.At(70), 2e-5 + 1.8e-4 * (1 + std::sqrt(0.5)) / 2, kTiny);
  EXPECT_NEAR(s.At(220), 2e-5, kTiny);
}

TEST(Schedule, LinearGoesStraightToTheMinimum) {
  const Schedule s({.kind = ScheduleKind::kLinear, .warmup = 10, .lr_min = 0.25}, 1.0, 110);
  EXPECT_EQ(s.At(0), 0);
  EXPECT_EQ(s.At(10), 1.0);
  EXPECT_EQ(s.At(60), 0.625);
  EXPECT_EQ(s.At(110), 0.25);
}

TEST(Schedule, WsdHoldsThePeakThenDecays) {
  const Schedule s({.kind = ScheduleKind::kWsd, .warmup = 10, .decay = 0.25}, 1.0, 100);
  EXPECT_EQ(s.At(5), 0.5);
  for (int64_t t = 10; t <= 75; ++t) EXPECT_EQ(s.At(t), 1.0);
  EXPECT_NEAR(s.At(80), 0.8, kTiny);
  EXPECT_EQ(s.At(100), 0);
}

TEST(Schedule, StepDropsByGamma) {
  const Schedule s({.kind = ScheduleKind::kStep, .step_size = 30, .gamma = 0.1}, 0.1, 90);
  EXPECT_EQ(s.At(0), 0.1);
  EXPECT_EQ(s.At(29), 0.1);
  EXPECT_NEAR(s.At(30), 0.01, kTiny);
  EXPECT_NEAR(s.At(89), 0.001, kTiny);
}

TEST(Schedule, RewarmRisesToThePeakAfterGrowth) {
  const ScheduleOptions plain{.kind = ScheduleKind::kWsd, .decay = 0.1};
  ScheduleOptions rewarmed = plain;
  rewarmed.rewarm = 10;
  const Schedule s(rewarmed, 1.0, 100), base(plain, 1.0, 100);
  EXPECT_EQ(s.At(40, 0), 0);
  EXPECT_EQ(s.At(45, 5), 0.5);
  EXPECT_EQ(s.At(50, 10), 1.0);
  for (int64_t t = 10; t <= 100; ++t) EXPECT_EQ(s.At(t), base.At(t));
}

TEST(Schedule, RefusesAWarmUpThatDoesNotFit) {
  EXPECT_THROW(Schedule({.warmup = 10}, 1.0, 10), UsageError);
  EXPECT_THROW(Schedule({}, 1.0, 0), UsageError);
  EXPECT_THROW(Schedule({.lr_min = 2.0}, 1.0, 10), UsageError);
}

ScheduleOptions AnyOptions(int64_t steps) {
  ScheduleOptions o;
  o.kind = *rc::gen::element(ScheduleKind::kTimmCosine, ScheduleKind::kBertCosine,
                             ScheduleKind::kLinear, ScheduleKind::kWsd, ScheduleKind::kStep);
  o.warmup = *rc::gen::inRange<int64_t>(0, steps);
  o.lr_min = *rc::gen::element(0.0, 1e-3, 0.1);
  return o;
}

RC_GTEST_PROP(Schedule, RisesDuringWarmUpAndNeverAfter, ()) {
  const int64_t steps = *rc::gen::inRange<int64_t>(1, 500);
  const ScheduleOptions o = AnyOptions(steps);
  const Schedule s(o, 1.0, steps);
  for (int64_t t = 0; t <= steps + 5; ++t) {
    RC_ASSERT(s.At(t) >= 0 && s.At(t) <= 1.0);
    if (t + 1 < o.warmup) RC_ASSERT(s.At(t + 1) > s.At(t));
    if (t >= o.warmup) RC_ASSERT(s.At(t + 1) <= s.At(t) + 1e-15);
  }
}

RC_GTEST_PROP(Schedule, GhostIsALongerScheduleShifted, ()) {
  const int64_t steps = *rc::gen::inRange<int64_t>(1, 300);
  const int64_t ghost = *rc::gen::inRange<int64_t>(0, 300);
  ScheduleOptions o = AnyOptions(steps);
  const Schedule longer(o, 1.0, steps + ghost);
  o.ghost = ghost;
  const Schedule s(o, 1.0, steps);
  for (int64_t t = 0; t <= steps; ++t) RC_ASSERT(s.At(t) == longer.At(t + ghost));
}

RC_GTEST_PROP(Schedule, RewarmNeverExceedsTheScheduleItself, ()) {
  const int64_t steps = *rc::gen::inRange<int64_t>(1, 300);
  ScheduleOptions o = AnyOptions(steps);
  const Schedule base(o, 1.0, steps);
  o.rewarm = *rc::gen::inRange<int64_t>(0, 100);
  const Schedule s(o, 1.0, steps);
  for (int64_t t = 0; t <= steps; ++t) {
    RC_ASSERT(s.At(t) <= base.At(t));
    if (t >= o.rewarm) RC_ASSERT(s.At(t) == base.At(t));
  }
}

TEST(HorizonRules, ShortenAsInThePaper) {
  EXPECT_EQ(FindHorizonRule("vit").ExpandedSteps(300), 130);
  EXPECT_EQ(FindHorizonRule("bert").ExpandedSteps(220'000), 132'000);
  EXPECT_EQ(FindHorizonRule("cnn").ExpandedSteps(90), 60);
  EXPECT_EQ(FindHorizonRule("vit").ExpandedSteps(1), 1);
  EXPECT_THROW(FindHorizonRule("rnn"), UsageError);
}

TEST(HorizonRules, KeepThePeakAndTheWarmUp) {
  const HorizonRule& vit = FindHorizonRule("vit");
  const Schedule scratch = vit.Scratch(3000), expanded = vit.Expanded(3000);
  EXPECT_EQ(expanded.steps(), 1300);
  EXPECT_EQ(expanded.lr_max(), scratch.lr_max());
  for (int64_t t = 0; t < 50; ++t) EXPECT_EQ(expanded.At(t), scratch.At(t));
  EXPECT_LT(expanded.At(600), scratch.At(600));
  // The steps of a CNN drop at a third and two thirds of its own horizon: 20 of 60 epochs.
  const Schedule cnn = FindHorizonRule("cnn").Expanded(900);
  EXPECT_EQ(cnn.At(199), 0.1);
  EXPECT_NEAR(cnn.At(200), 0.01, kTiny);
}

}  // namespace
}  // namespace orchard::nn
