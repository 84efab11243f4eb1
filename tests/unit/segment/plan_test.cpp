#include "segment/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "segment/planner.h"
#include "unit/scratch_dir.h"
#include "unit/segment/made_case.h"

namespace orchard::segment {
namespace {

using ::testing::HasSubstr;
using volume::Size3;

TEST(MakeStages, PoolsWhileAnEdgeOfFourIsLeftAndRoundsThePatchUp) {
  Size3 patch = {36, 50, 35};
  const std::vector<Stage> stages = MakeStages({1, 1, 1}, 3, 16, 8, patch);
  ASSERT_EQ(stages.size(), 4u);  // 35 -> 18 -> 9 -> 5
  EXPECT_EQ(patch, (Size3{40, 56, 40}));
  EXPECT_EQ(stages[0].stride, (Size3{1, 1, 1}));
  EXPECT_EQ(stages[3].channels, 128);
}

TEST(MakeStages, LeavesThickSlicesAloneUntilPixelsAreAsThick) {
  Size3 patch = {256, 256, 16};
  const std::vector<Stage> stages = MakeStages({1, 1, 5}, 3, 32, 5, patch);
  EXPECT_EQ(stages[0].kernel, (Size3{3, 3, 1}));
  EXPECT_EQ(stages[1].stride, (Size3{2, 2, 1}));
  EXPECT_EQ(stages[1].kernel, (Size3{3, 3, 1}));
  // At 4 mm pixels the slices of 5 mm are within a factor of two.
  EXPECT_EQ(stages[3].stride, (Size3{2, 2, 2}));
  EXPECT_EQ(stages[3].kernel, (Size3{3, 3, 3}));
  EXPECT_EQ(stages[4].channels, 320);  // not 512
}

Dataset TwoLabels() {
  Dataset d;
  d.name = "made";
  d.channels = {"MRI"};
  d.labels = {{1, "a"}, {2, "b"}};
  d.cases.resize(3);
  return d;
}

Fingerprint Alike(const Size3& size, const volume::Spacing3& spacing) {
  Fingerprint f;
  f.sizes.assign(3, size);
  f.spacings.assign(3, spacing);
  f.foreground.resize(1);
  return f;
}

TEST(MakePlan, TakesTheMedianImageAsPatch) {
  const Plan plan = MakePlan(TwoLabels(), Alike({36, 50, 35}, {1, 1, 1}), {});
  EXPECT_EQ(plan.patch, (Size3{40, 56, 40}));
  EXPECT_EQ(plan.dims, 3);
  EXPECT_EQ(plan.batch, 2);
}

TEST(MakePlan, ShrinksThePatchUntilItFits) {
  PlanOptions options;
  options.memory = 60'000'000;
  const Plan plan = MakePlan(TwoLabels(), Alike({36, 50, 35}, {1, 1, 1}), options);
  EXPECT_LE(plan.training_bytes, options.memory);
  EXPECT_LT(volume::Voxels(plan.patch), 40 * 56 * 40);
}

TEST(MakePlan, SaysWhichPatchFitsWhereTheOneAskedForDoesNot) {
  PlanOptions options;
  options.memory = 60'000'000;
  options.patch = {64, 64, 64};
  try {
    MakePlan(TwoLabels(), Alike({64, 64, 64}, {1, 1, 1}), options);
    FAIL();
  } catch (const ResourceError& error) {
    EXPECT_THAT(error.what(), HasSubstr("the largest that fits is "));
  }
}

TEST(MakePlan, RefusesAPatchThatIsTooSmall) {
  const auto plan = [](const Size3& median, const volume::Spacing3& spacing,
                       std::vector<int64_t> patch) {
    PlanOptions options;
    options.patch = std::move(patch);
    return MakePlan(TwoLabels(), Alike(median, spacing), options).patch;
  };
  EXPECT_THROW(plan({36, 50, 35}, {1, 1, 1}, {1, 1, 1}), UsageError);
  EXPECT_THROW(plan({36, 50, 35}, {1, 1, 1}, {8, 8, 7}), UsageError);
  EXPECT_EQ(plan({36, 50, 35}, {1, 1, 1}, {8, 8, 8}), (Size3{8, 8, 8}));
  EXPECT_THROW(plan({256, 256, 30}, {1, 1, 3}, {64, 64, 3}), UsageError);
  EXPECT_EQ(plan({256, 256, 30}, {1, 1, 3}, {64, 64, 4})[2], 4);
  // Images may be smaller still.
  EXPECT_EQ(plan({36, 50, 5}, {1, 1, 1}, {16, 16, 5})[2], 5);
}

TEST(MakePlan, RefinesAFewThickSlicesToTheTenthPercentile) {
  Fingerprint f = Alike({256, 256, 20}, {1, 1, 6});
  f.spacings[0][2] = 5;
  f.spacings[2][2] = 8;
  const Plan plan = MakePlan(TwoLabels(), f, {});
  EXPECT_NEAR(plan.spacing[2], 5.2, 1e-9);  // between 5 and 6, a fifth of the way
}

TEST(MakePlan, ClipsCtByPercentilesOfTheForeground) {
  Dataset d = TwoLabels();
  d.channels = {"CT"};
  Fingerprint f = Alike({64, 64, 64}, {1, 1, 1});
  for (int v = 0; v <= 1000; ++v) f.foreground[0].push_back(static_cast<float>(v));
  const Plan plan = MakePlan(d, f, {});
  EXPECT_NEAR(plan.channels[0].low, 5, 1e-3);
  EXPECT_NEAR(plan.channels[0].high, 995, 1e-3);
  EXPECT_NEAR(plan.channels[0].mean, 500, 1e-3);
}

TEST(Plan, ReadsBackAsWritten) {
  const testing::ScratchDir dir;
  Plan plan = MakePlan(TwoLabels(), Alike({36, 50, 35}, {1.1, 0.9, 1}), {});
  plan.channels[0] = {
      .name = "CT", .ct = true, .low = -3.25, .high = 7, .mean = 1.0 / 3, .deviation = 2};
  WritePlan(dir / "plan.json", plan);
  EXPECT_EQ(ReadPlan(dir / "plan.json"), plan);
}

TEST(Plan, RefusesAPatchThatItsStridesDoNotDivide) {
  const testing::ScratchDir dir;
  Plan plan = MakePlan(TwoLabels(), Alike({36, 50, 35}, {1, 1, 1}), {});
  plan.patch[0] = 41;
  WritePlan(dir / "plan.json", plan);
  EXPECT_THROW(ReadPlan(dir / "plan.json"), DataError);
}

}  // namespace
}  // namespace orchard::segment
