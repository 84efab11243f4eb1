#include "data/sampler.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "base/error.h"

namespace orchard::data {
namespace {

RC_GTEST_PROP(Permutation, TakesEveryValueOnce, ()) {
  const auto count = *rc::gen::inRange<int64_t>(1, 3000);
  const Permutation p(count, *rc::gen::arbitrary<uint64_t>(), 1, *rc::gen::inRange<uint64_t>(0, 9));
  std::vector<bool> seen(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t v = p(i);
    RC_ASSERT(v >= 0 && v < count);
    RC_ASSERT(!seen[static_cast<size_t>(v)]);
    seen[static_cast<size_t>(v)] = true;
  }
}

TEST(Permutation, EveryOrderOfFourThingsIsAboutAsLikely) {
  constexpr int kTrials = 24000;
  std::map<std::vector<int64_t>, int> counts;
  for (int seed = 0; seed < kTrials; ++seed) {
    const Permutation p(4, static_cast<uint64_t>(seed), 0, 0);
    ++counts[{p(0), p(1), p(2), p(3)}];
  }
  EXPECT_EQ(counts.size(), 24u);
  double chi_square = 0;
  for (const auto& [order, n] : counts) chi_square += (n - 1000.0) * (n - 1000.0) / 1000.0;
  // 23 degrees of freedom: above 60 once in 20,000 for fair draws; the seeds are fixed.
  EXPECT_LT(chi_square, 60);
}

TEST(Permutation, LeavesNoTraceOfTheOldOrder) {
  constexpr int64_t kCount = 5000;
  const Permutation p(kCount, 7, 0, 0);
  double covariance = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    covariance += (static_cast<double>(i) - 2499.5) * (static_cast<double>(p(i)) - 2499.5);
  }
  const double variance = kCount * (kCount * static_cast<double>(kCount) - 1) / 12;
  EXPECT_LT(std::abs(covariance / variance), 4 / std::sqrt(kCount));  // four standard errors
}

TEST(Sampler, RepeatsSamplesAsOtherEpochs) {
  const Sampler plain(100, 5), sampler(100, 5, true, 3);
  std::set<std::pair<int64_t, int64_t>> augmentations;  // what their draws are keyed by
  for (int64_t i = 0; i < 200; ++i) {
    const Sample s = sampler.At(i);
    EXPECT_EQ(s.index, plain.At(i / 100 * 100 + i % 100 / 3).index);
    augmentations.insert({s.index, s.epoch});
  }
  EXPECT_EQ(augmentations.size(), 200u);
}

TEST(Sampler, UsesEverySampleOncePerEpochInAnotherOrder) {
  const Sampler sampler(100, 5);
  std::vector<int64_t> first, second;
  for (int64_t i = 0; i < 100; ++i) first.push_back(sampler.At(i).index);
  for (int64_t i = 100; i < 200; ++i) {
    EXPECT_EQ(sampler.At(i).epoch, 1);
    second.push_back(sampler.At(i).index);
  }
  EXPECT_NE(first, second);
  EXPECT_TRUE(std::is_permutation(first.begin(), first.end(), second.begin()));
  EXPECT_EQ(std::set<int64_t>(first.begin(), first.end()).size(), 100u);
}

RC_GTEST_PROP(Sampler, RanksSeeTheGlobalBatchOfOneRank, ()) {
  const Sampler sampler(*rc::gen::inRange<int64_t>(1, 200), *rc::gen::arbitrary<uint64_t>());
  const auto cursor = *rc::gen::inRange<int64_t>(0, 1000);
  const auto ranks = *rc::gen::inRange<int64_t>(1, 9), batch = *rc::gen::inRange<int64_t>(1, 9);
  std::vector<Sample> joined;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const auto part = sampler.Batch(cursor, batch, rank, ranks);
    joined.insert(joined.end(), part.begin(), part.end());
  }
  RC_ASSERT(joined == sampler.Batch(cursor, batch * ranks));
}

TEST(Sampler, KeepsTheOrderWhenNotShuffled) {
  const Sampler sampler(3, 5, false);
  EXPECT_EQ(sampler.At(4), (Sample{4, 1, 1}));
}

TEST(Sampler, RefusesAnEmptyDataSet) { EXPECT_THROW(Sampler(0, 1), UsageError); }

}  // namespace
}  // namespace orchard::data
