#include "data/metrics.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <vector>

#include "base/error.h"

namespace orchard::data {
namespace {

using Classes = std::vector<int32_t>;
using Scores = std::vector<double>;

TEST(Metrics, BinaryScoresFollowTheConfusionTable) {
  // 3 true positives, 1 false positive, 2 false negatives, 4 true negatives.
  const Classes truth = {1, 1, 1, 0, 1, 1, 0, 0, 0, 0};
  const Classes predicted = {1, 1, 1, 1, 0, 0, 0, 0, 0, 0};
  EXPECT_DOUBLE_EQ(Accuracy(predicted, truth), 0.7);
  EXPECT_DOUBLE_EQ(F1(predicted, truth), 2 * 3.0 / (2 * 3 + 1 + 2));
  EXPECT_DOUBLE_EQ(Matthews(predicted, truth),
                   (3.0 * 4 - 1 * 2) / std::sqrt((3 + 1) * (3 + 2) * (4 + 1) * (4 + 2.0)));
}

TEST(Metrics, ConstantPredictionsScoreZero) {
  const Classes truth = {1, 0, 1}, constant = {0, 0, 0};
  EXPECT_EQ(Matthews(constant, truth), 0);
  EXPECT_EQ(F1(constant, truth), 0);
}

// Matthews' coefficient is the linear correlation of class indicators; for two classes, of the
// labels themselves.
RC_GTEST_PROP(Metrics, MatthewsIsTheCorrelationOfTwoClasses, ()) {
  const auto n = *rc::gen::inRange<size_t>(2, 40);
  const auto bits = rc::gen::container<Classes>(n, rc::gen::inRange<int32_t>(0, 2));
  const Classes predicted = *bits, truth = *bits;
  const double correlation =
      Pearson(Scores(predicted.begin(), predicted.end()), Scores(truth.begin(), truth.end()));
  const double matthews = Matthews(predicted, truth);
  RC_ASSERT((std::isnan(correlation) ? matthews == 0 : std::abs(matthews - correlation) < 1e-12));
}

TEST(Metrics, MatthewsOfThreeClassesIsGorodkins) {
  // By the definition: covariance of indicators summed over classes.
  const Classes truth = {0, 1, 2, 2, 1, 0, 1}, predicted = {0, 2, 2, 2, 1, 1, 1};
  double pt = 0, pp = 0, tt = 0;
  for (int32_t k = 0; k < 3; ++k) {
    double mp = 0, mt = 0;
    for (size_t i = 0; i < 7; ++i) {
      mp += (predicted[i] == k) / 7.0;
      mt += (truth[i] == k) / 7.0;
    }
    for (size_t i = 0; i < 7; ++i) {
      const double p = (predicted[i] == k) - mp, t = (truth[i] == k) - mt;
      pt += p * t;
      pp += p * p;
      tt += t * t;
    }
  }
  EXPECT_NEAR(Matthews(predicted, truth), pt / std::sqrt(pp * tt), 1e-14);
}

TEST(Metrics, PearsonIsOneForLinesAndSpearmanForAnyRise) {
  const Scores x = {1, 2, 3, 4}, line = {3, 5, 7, 9}, curve = {1, 8, 27, 64}, fall = {4, 3, 2, 1};
  EXPECT_DOUBLE_EQ(Pearson(x, line), 1);
  EXPECT_LT(Pearson(x, curve), 1);
  EXPECT_DOUBLE_EQ(Spearman(x, curve), 1);
  EXPECT_DOUBLE_EQ(Spearman(x, fall), -1);
}

// Ranks by counting: 1 + how many are smaller + half of how many others are equal.
RC_GTEST_PROP(Metrics, SpearmanIsThePearsonOfCountedRanks, ()) {
  const auto n = *rc::gen::inRange<size_t>(2, 30);
  const auto list = rc::gen::container<Classes>(n, rc::gen::inRange<int32_t>(0, 6));  // many ties
  const auto ranks = [](const Classes& values) {
    Scores out;
    for (const int32_t v : values) {
      double rank = 0.5;
      for (const int32_t w : values) rank += w < v ? 1 : w == v ? 0.5 : 0;
      out.push_back(rank);
    }
    return out;
  };
  const Classes a = *list, b = *list;
  const double expected = Pearson(ranks(a), ranks(b));
  const double actual = Spearman(Scores(a.begin(), a.end()), Scores(b.begin(), b.end()));
  RC_ASSERT((std::isnan(expected) ? std::isnan(actual) : std::abs(expected - actual) < 1e-12));
}

TEST(Metrics, RefuseListsThatDoNotMatch) {
  EXPECT_THROW(Accuracy(Classes{1}, Classes{}), UsageError);
  EXPECT_THROW(Pearson(Scores{}, Scores{}), UsageError);
}

}  // namespace
}  // namespace orchard::data
