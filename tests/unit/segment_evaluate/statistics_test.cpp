#include "segment/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace orchard::segment {
namespace {

TEST(Describe, GivesMomentsAndQuartilesOfWhatIsDefined) {
  const std::vector<double> values = {4, NAN, 1, 3, 2};
  const Distribution d = Describe(values, 500, 1, "test");
  EXPECT_EQ(d.cases, 4);
  EXPECT_EQ(d.undefined, 1);
  EXPECT_DOUBLE_EQ(d.mean, 2.5);
  EXPECT_DOUBLE_EQ(d.median, 2.5);
  EXPECT_DOUBLE_EQ(d.q1, 1.75);
  EXPECT_DOUBLE_EQ(d.std, std::sqrt(5.0 / 3));
  EXPECT_LT(d.low, d.mean);
  EXPECT_GT(d.high, d.mean);
  EXPECT_GE(d.low, 1);
}

TEST(Describe, OfNothingIsNotANumber) {
  const std::vector<double> values = {NAN, NAN};
  EXPECT_TRUE(std::isnan(Describe(values, 100, 0, "").mean));
}

TEST(Describe, DrawsTheSameSamplesForTheSameSeedAndPurpose) {
  const std::vector<double> values = {1, 5, 2, 8, 3, 9, 4};
  EXPECT_EQ(Describe(values, 300, 5, "a").low, Describe(values, 300, 5, "a").low);
  EXPECT_NE(Describe(values, 300, 5, "a").low, Describe(values, 300, 6, "a").low);
}

// For a large sample the interval is that of the normal distribution.
TEST(Describe, IntervalsComeNearTheNormalOnes) {
  std::vector<double> values;
  for (int i = 0; i < 400; ++i) values.push_back(std::sin(i * 12.9898) * 3 + 7);
  const Distribution d = Describe(values, 4000, 2, "normal");
  const double half = 1.96 * d.std / 20;
  EXPECT_NEAR(d.low, d.mean - half, 0.15 * half);
  EXPECT_NEAR(d.high, d.mean + half, 0.15 * half);
}

TEST(Wilcoxon, CountsSignsOfFewDifferences) {
  // All of five positive: two of 2^5 sign patterns are as extreme.
  EXPECT_DOUBLE_EQ(WilcoxonP(std::vector<double>{1, 2, 3, 4, 5}), 2.0 / 32);
  EXPECT_DOUBLE_EQ(WilcoxonP(std::vector<double>{-1, 2, 3, 4, 5}), 4.0 / 32);
  EXPECT_DOUBLE_EQ(WilcoxonP(std::vector<double>{0, 0}), 1);
}

}  // namespace
}  // namespace orchard::segment
