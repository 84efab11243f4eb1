// Averaging of moments with the blocks that a step sends.
#include <gtest/gtest.h>

#include "base/error.h"
#include "unit/sync/quadratic.h"

namespace orchard::sync {
namespace {

using Vectors = std::vector<std::vector<double>>;

Quadratic Problem(Implementation impl, BaseOptimizer base) {
  Quadratic q;
  q.algorithm.impl = impl;
  q.algorithm.base = base;
  q.compress = {.ratio = 8, .c1_ratio = 2, .interval = 3, .block = 32};
  q.ranks = 3;
  q.learning_rate = 0.01;
  return q;
}

Vectors Buffers(const Outcome<double>& outcome, const char* name) {
  Vectors buffers;
  for (const auto& state : outcome.states) buffers.push_back(state.at(name));
  return buffers;
}

// How many elements of `averaged` are the mean over ranks of `own`; all others must be as they
// were.
int64_t Averaged(const Vectors& own, const Vectors& averaged) {
  int64_t count = 0;
  for (size_t i = 0; i < own[0].size(); ++i) {
    double mean = 0;
    bool same = true, real = false;
    for (size_t r = 0; r < own.size(); ++r) {
      mean += own[r][i] / static_cast<double>(own.size());
      same = same && averaged[r][i] == own[r][i];
      real = real || own[r][i] != 0;
    }
    if (same || !real) continue;
    ++count;
    for (size_t r = 0; r < own.size(); ++r) EXPECT_NEAR(averaged[r][i], mean, 1e-15) << i;
  }
  return count;
}

class Moments : public testing::TestWithParam<std::tuple<Implementation, BaseOptimizer>> {};

TEST_P(Moments, OfTheBlocksOfAResetBecomeTheirMeansAndNothingElseChanges) {
  const ArenaLayout layout = SmallLayout();
  Quadratic q = Problem(std::get<0>(GetParam()), std::get<1>(GetParam()));
  q.steps = 3;  // the reset is the last step: until then both runs are one
  const auto plain = Minimise<double>(layout, q);
  q.algorithm.second_moment_sync = MomentumSync::kReset;
  const auto second = Minimise<double>(layout, q);
  EXPECT_EQ(plain.values, second.values);
  EXPECT_EQ(Buffers(plain, "momentum"), Buffers(second, "momentum"));
  const int64_t moved = Averaged(Buffers(plain, "second_moment"), Buffers(second, "second_moment"));
  // Half of the blocks, whose places in the padding stay zero.
  EXPECT_GT(moved, layout.elements() / 3);
  EXPECT_LE(moved, layout.size() / 2 + 32);
  EXPECT_GT(second.planned, plain.planned);
  EXPECT_NEAR(second.sent[0] + second.sent[1] + second.sent[2], 3 * second.planned,
              0.01 * second.planned);

  q.algorithm.momentum_sync = MomentumSync::kReset;
  const auto both = Minimise<double>(layout, q);
  EXPECT_EQ(Averaged(Buffers(plain, "momentum"), Buffers(both, "momentum")), moved);
  EXPECT_EQ(Buffers(both, "second_moment"), Buffers(second, "second_moment"));
}

TEST_P(Moments, OfEverythingThatIsSentAreAveragedInEveryStepWhereThatIsAskedFor) {
  const ArenaLayout layout = SmallLayout();
  Quadratic q = Problem(std::get<0>(GetParam()), std::get<1>(GetParam()));
  q.steps = 1;
  const auto plain = Minimise<double>(layout, q);
  q.algorithm.second_moment_sync = MomentumSync::kBlocks;
  const auto blocks = Minimise<double>(layout, q);
  EXPECT_GT(Averaged(Buffers(plain, "second_moment"), Buffers(blocks, "second_moment")), 0);
  q.algorithm.second_moment_sync = MomentumSync::kReset;
  const auto reset = Minimise<double>(layout, q);  // none yet
  EXPECT_EQ(Buffers(plain, "second_moment"), Buffers(reset, "second_moment"));
}

TEST_P(Moments, InPartsGiveTheBitsOfAStepAtOnce) {
  const ArenaLayout layout = SmallLayout();
  Quadratic q = Problem(std::get<0>(GetParam()), std::get<1>(GetParam()));
  q.algorithm.momentum_sync = q.algorithm.second_moment_sync = MomentumSync::kBlocks;
  q.compress.bucket_mb = 2e-4;
  const auto whole = Minimise<double>(layout, q);
  q.streamed = true;
  const auto parts = Minimise<double>(layout, q);
  EXPECT_EQ(whole.values, parts.values);
  EXPECT_EQ(whole.states, parts.states);
}

INSTANTIATE_TEST_SUITE_P(
    All, Moments,
    testing::Combine(testing::Values(Implementation::kOne, Implementation::kTwo),
                     testing::Values(BaseOptimizer::kAdam, BaseOptimizer::kAdamW,
                                     BaseOptimizer::kLamb)));

TEST(SecondMoments, OfAllModelsAndMomentsKeepRanksTogether) {
  const ArenaLayout layout = SmallLayout();
  Quadratic q = Problem(Implementation::kTwo, BaseOptimizer::kAdam);
  q.algorithm.algo = AlgorithmKind::kLocalSgd;
  q.compress = {.ratio = 4};
  q.steps = 40;  // ends with a reset
  q.algorithm.momentum_sync = q.algorithm.second_moment_sync = MomentumSync::kReset;
  const auto out = Minimise<double>(layout, q);
  for (const char* name : {"momentum", "second_moment"}) {
    EXPECT_EQ(Buffers(out, name)[0], Buffers(out, name)[2]) << name;
  }
  EXPECT_EQ(out.values[0], out.values[2]);
}

TEST(SecondMoments, AreRefusedWhereTheyCannotBeAveraged) {
  const auto refused = [](auto&& change) {
    AlgorithmOptions algorithm{.base = BaseOptimizer::kAdam,
                               .second_moment_sync = MomentumSync::kReset};
    CompressOptions compress;
    EXPECT_NO_THROW(Resolve(algorithm, compress));
    change(algorithm, compress);
    EXPECT_THROW(Resolve(algorithm, compress), UsageError);
  };
  refused([](AlgorithmOptions& a, CompressOptions&) { a.base = BaseOptimizer::kSgd; });
  refused([](AlgorithmOptions& a, CompressOptions&) { a.base = BaseOptimizer::kLion; });
  refused([](AlgorithmOptions& a, CompressOptions&) { a.algo = AlgorithmKind::kSgd; });
  refused([](AlgorithmOptions&, CompressOptions& c) { c.wire = WireFormat::kBf16; });
  refused([](AlgorithmOptions&, CompressOptions& c) { c.delay = 2; });
  refused([](AlgorithmOptions&, CompressOptions& c) { c.c1 = CompressorKind::kTopK; });
}

}  // namespace
}  // namespace orchard::sync
