// What the experiments' verdicts rest on: intervals against closed forms, and values that must
// fail.
#include "run/experiment.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "run/shard.h"

namespace orchard::run {
namespace {

Measurement AtMost(Estimate value, double limit, bool promised = true) {
  return {"m", "", value, Expectation{Relation::kAtMost, limit, promised}};
}

TEST(Estimate, IsTheMeanWithStudentsInterval) {
  // Deviation 1, three runs: half width 4.303 / sqrt(3).
  const Estimate e = MeanOf(std::vector<double>{1, 2, 3});
  EXPECT_DOUBLE_EQ(e.mean, 2);
  EXPECT_NEAR(e.high - e.mean, 2.4843, 1e-3);
  EXPECT_NEAR(e.mean - e.low, 2.4843, 1e-3);
  EXPECT_EQ(e.runs, 3);
}

TEST(Estimate, OfOneRunHasNoWidth) {
  const Estimate e = MeanOf(std::vector<double>{5});
  EXPECT_EQ(e.low, 5);
  EXPECT_EQ(e.high, 5);
}

TEST(Estimate, OfNoRunsIsRefused) { EXPECT_THROW(MeanOf({}), UsageError); }

TEST(Estimate, GeometricIsTheMeanOfLogarithms) {
  const Estimate e = GeometricMeanOf(std::vector<double>{1e-6, 1e-2});
  EXPECT_NEAR(e.mean, 1e-4, 1e-12);
  EXPECT_NEAR(e.low * e.high, 1e-8, 1e-14);
}

TEST(Judge, PassesWithinTheLimitAndFailsBeyondIt) {
  EXPECT_EQ(Judge(AtMost(Single(1e-12), 1e-11)), Verdict::kPass);
  EXPECT_EQ(Judge(AtMost(Single(1e-10), 1e-11)), Verdict::kFail);
  const Measurement at_least{"m", "", Single(0.5), Expectation{Relation::kAtLeast, 1}};
  EXPECT_EQ(Judge(at_least), Verdict::kFail);
}

TEST(Judge, NeverPassesWhatIsNotANumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(Judge(AtMost(Single(nan), 1)), Verdict::kFail);
  EXPECT_EQ(Judge(AtMost({.mean = 0, .low = nan, .high = nan, .runs = 3}, 1)), Verdict::kFail);
}

TEST(Judge, HoldsAPromiseToTheWholeInterval) {
  const Estimate wide{.mean = 1, .low = 0, .high = 2, .runs = 3};
  EXPECT_EQ(Judge(AtMost(wide, 1.5)), Verdict::kFail);
  EXPECT_EQ(Judge(AtMost(wide, 1.5, false)), Verdict::kAsItCameOut);
  EXPECT_EQ(Judge(AtMost(wide, -1, false)), Verdict::kFail);
}

TEST(ExperimentResult, FailsWithOnePromiseThatFails) {
  ExperimentResult result;
  result.measurements = {AtMost(Single(1), 2), AtMost(Single(1), 2)};
  EXPECT_EQ(result.verdict(), Verdict::kPass);
  result.measurements.push_back(AtMost(Single(3), 2));
  EXPECT_EQ(result.verdict(), Verdict::kFail);
}

TEST(ExperimentResult, DoesNotFailWithAFindingThatCameOutOtherwise) {
  ExperimentResult result;
  result.measurements = {AtMost(Single(1), 2), AtMost(Single(3), 2, false)};
  EXPECT_EQ(result.verdict(), Verdict::kAsItCameOut);
}

TEST(ExperimentResult, WithoutExpectationsIsAsItCameOut) {
  ExperimentResult result;
  result.measurements = {{"m", "", Single(1), {}}};
  EXPECT_EQ(result.verdict(), Verdict::kAsItCameOut);
}

TEST(Shard, TakesEveryCountThPieceOfWork) {
  const Shard shard = ParseShard("2/3", "--shard");
  EXPECT_FALSE(shard.Takes(0));
  EXPECT_TRUE(shard.Takes(1));
  EXPECT_TRUE(shard.Takes(4));
  EXPECT_FALSE(shard.IsWhole());
  EXPECT_TRUE(ParseShard("1/1", "--shard").Takes(7));
}

TEST(Shard, RefusesWhatIsNoShard) {
  for (const char* text :
       {"", "1", "/", "1/", "0/2", "3/2", "-1/2", "1/2x", "1/2/3", "a/b", " 1/2"})
    EXPECT_THROW(ParseShard(text, "--shard"), UsageError) << text;
}

}  // namespace
}  // namespace orchard::run
