#include "sync/block_selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"

namespace orchard::sync {
namespace {

ArenaLayout Flat(int64_t elements) { return ArenaLayout({{"w", {elements}}}); }

std::set<int64_t> BlocksOf(const Selection& selection, int64_t block) {
  std::set<int64_t> blocks;
  for (const Range& run : selection.runs) {
    for (int64_t at = run.begin; at < run.end; at += block) blocks.insert(at / block);
  }
  return blocks;
}

TEST(BlockSelector, ADrawIsKOfBBlocksInRisingOrder) {
  const ArenaLayout layout = Flat(1000);  // padded to 1024: 31 blocks of 32 and one more
  const BlockSelector selector(layout, {.ratio = 4, .block = 32, .order = BlockOrder::kUniform}, 1,
                               "C1");
  EXPECT_EQ(selector.blocks(), 32);
  EXPECT_EQ(selector.chosen(), 8);
  for (int64_t draw = 0; draw < 50; ++draw) {
    const Selection s = selector.At(draw);
    int64_t count = 0, last = -1;
    for (const Range& run : s.runs) {
      EXPECT_GT(run.begin, last);  // touching runs are one
      EXPECT_GT(run.end, run.begin);
      last = run.end;
      count += run.size();
    }
    EXPECT_EQ(count, s.count);
    EXPECT_EQ(BlocksOf(s, 32).size(), 8u);
  }
}

TEST(BlockSelector, TheLastBlockIsShort) {
  const ArenaLayout layout = Flat(1000);
  const BlockSelector selector(layout, {.ratio = 3, .block = 200, .order = BlockOrder::kUniform}, 1,
                               "C1");
  std::set<int64_t> counts;
  for (int64_t draw = 0; draw < 50; ++draw) counts.insert(selector.At(draw).count);
  EXPECT_THAT(counts, testing::ElementsAre(224, 400));
}

TEST(BlockSelector, ACycleTakesEveryBlockOnce) {
  for (const int64_t elements : {3200, 3232, 3296}) {  // 100, 101 and 103 blocks: short last draws
    const ArenaLayout layout = Flat(elements);
    const BlockSelector selector(layout, {.ratio = 10, .block = 32}, 7, "C2");
    for (int64_t cycle = 0; cycle < 5; ++cycle) {
      std::multiset<int64_t> taken;
      int64_t count = 0;
      for (int64_t i = 0; i < selector.cycle(); ++i) {
        const Selection s = selector.At(cycle * selector.cycle() + i);
        for (const int64_t b : BlocksOf(s, 32)) taken.insert(b);
        count += s.count;
      }
      EXPECT_EQ(count, layout.size());
      EXPECT_EQ(taken.size(), static_cast<size_t>(selector.blocks()));
      EXPECT_EQ(std::set(taken.begin(), taken.end()).size(), taken.size());
    }
    EXPECT_NE(BlocksOf(selector.At(0), 32), BlocksOf(selector.At(selector.cycle()), 32));
  }
}

// Each block's count over N uniform draws is binomial: within 4.5 standard deviations of N k/B for
// all 64 blocks (a chance of 1 in 2000 for an ideal generator, and the draws are fixed).
TEST(BlockSelector, UniformDrawsTakeAllBlocksEquallyOften) {
  const ArenaLayout layout = Flat(64 * 32);
  const BlockSelector selector(layout, {.ratio = 8, .block = 32, .order = BlockOrder::kUniform}, 11,
                               "C1");
  constexpr int kDraws = 20000;
  std::vector<int> counts(64);
  for (int64_t draw = 0; draw < kDraws; ++draw) {
    for (const int64_t b : BlocksOf(selector.At(draw), 32)) ++counts[b];
  }
  const double p = 1.0 / 8, deviation = std::sqrt(kDraws * p * (1 - p));
  for (const int count : counts) EXPECT_NEAR(count, kDraws * p, 4.5 * deviation);
}

TEST(BlockSelector, StreamsAndNeighbouringDrawsAreUncorrelated) {
  const ArenaLayout layout = Flat(64 * 32);
  const SelectorOptions options = {.ratio = 8, .block = 32, .order = BlockOrder::kUniform};
  const BlockSelector c1(layout, options, 1, "C1"), c2(layout, options, 1, "C2");
  constexpr int kDraws = 20000;
  double between_streams = 0, between_draws = 0;
  for (int64_t draw = 0; draw < kDraws; ++draw) {
    const std::set<int64_t> a = BlocksOf(c1.At(draw), 32);
    for (const int64_t b : BlocksOf(c2.At(draw), 32)) between_streams += a.contains(b) ? 1 : 0;
    for (const int64_t b : BlocksOf(c1.At(draw + 1), 32)) between_draws += a.contains(b) ? 1 : 0;
  }
  // Two independent draws of 8 of 64 share 1 on average; hypergeometric variance 0.7778.
  const double tolerance = 4.5 * std::sqrt(0.7778 / kDraws);
  EXPECT_NEAR(between_streams / kDraws, 1, tolerance);
  EXPECT_NEAR(between_draws / kDraws, 1, tolerance);
}

TEST(BlockSelector, KeepsOneBlockInRAndItsErrorIsOneMinusDelta) {
  const ArenaLayout layout = Flat(100 * 32);
  const BlockSelector selector(layout, {.ratio = 20, .block = 32, .order = BlockOrder::kUniform}, 2,
                               "C1");
  std::vector<double> squares(layout.size());
  double all = 0;
  for (size_t i = 0; i < squares.size(); ++i) all += squares[i] = 1 + 0.01 * (i % 77);
  double left = 0;
  constexpr int kDraws = 20000;
  for (int64_t draw = 0; draw < kDraws; ++draw) {
    double kept = 0;
    for (const Range& run : selector.At(draw).runs) {
      for (int64_t i = run.begin; i < run.end; ++i) kept += squares[i];
    }
    left += 1 - kept / all;
  }
  EXPECT_NEAR(left / kDraws, 1 - 5.0 / 100, 0.001);
  EXPECT_DOUBLE_EQ(selector.Ratio(), 20);
}

TEST(BlockSelector, ARatioOfOneSelectsEverythingAsOneRun) {
  const ArenaLayout layout = Flat(5000);
  const Selection s = BlockSelector(layout, {.ratio = 1}, 1, "C1").At(3);
  EXPECT_THAT(s.runs, testing::ElementsAre(Range{0, layout.size()}));
}

TEST(BlockSelector, RefusesMoreThanHalfTheBlocks) {
  const ArenaLayout layout = Flat(32 * 100);
  EXPECT_NO_THROW(BlockSelector(layout, {.ratio = 50, .block = 32}, 1, "C1"));
  EXPECT_THROW(BlockSelector(layout, {.ratio = 51, .block = 32}, 1, "C1"), UsageError);
}

TEST(BlockSelector, SmallModelsGetSmallBlocks) {
  EXPECT_EQ(BlockFor({.ratio = 128, .block = 0}, 35'794'516), 1024);
  EXPECT_EQ(BlockFor({.ratio = 128, .block = 0}, 109'440), 128);  // 855 blocks
  EXPECT_EQ(BlockFor({.ratio = 128, .block = 0}, 7936), 32);
  EXPECT_EQ(BlockFor({.ratio = 128, .block = 512}, 7936), 512);
}

// By hand from the released rule: length max(1, round half to even(size / I)), start = length *
// j with j < ceil(size / length).
TEST(OfficialLayout, SlabsAreThoseOfTheReleasedCode) {
  const auto at = [](int64_t size, int64_t sparsity, double where) {
    return SlabOf(size, sparsity, static_cast<uint32_t>(where * 4294967296.0));
  };
  EXPECT_EQ(at(64, 4, 0.0), (Range{0, 16}));
  EXPECT_EQ(at(64, 4, 0.26), (Range{16, 32}));
  EXPECT_EQ(at(64, 4, 0.999), (Range{48, 64}));
  EXPECT_EQ(at(10, 4, 0.0), (Range{0, 2}));  // 2.5 rounds to 2: five slabs
  EXPECT_EQ(at(10, 4, 0.81), (Range{8, 10}));
  EXPECT_EQ(at(14, 4, 0.0), (Range{0, 4}));  // 3.5 rounds to 4: four slabs, the last one short
  EXPECT_EQ(at(14, 4, 0.99), (Range{12, 14}));
  EXPECT_EQ(at(3, 16, 0.5), (Range{1, 2}));  // at least 1
  EXPECT_EQ(at(1, 2, 0.9), (Range{0, 1}));
}

TEST(OfficialLayout, TakesOneSlabOfOneTensorInL) {
  const ArenaLayout layout({{"conv", {8, 4, 3, 3}}, {"bias", {8}}});
  SelectorOptions options;
  options.layout = BlockLayout::kOfficial;
  options.slab = {4, 2, 1};
  const Selection s = BlockSelector(layout, options, 1, "C1").At(0);
  // 2 of 8 output channels x 2 of 4 input channels x 9, and 2 of 8 of the bias.
  EXPECT_EQ(s.count, 2 * 2 * 9 + 2);
  options.slab = {1, 1, 4};
  const BlockSelector sparse(layout, options, 1, "C1");
  int64_t count = 0;
  constexpr int kDraws = 4000;
  for (int64_t draw = 0; draw < kDraws; ++draw) count += sparse.At(draw).count;
  const double whole = 8 * 4 * 9 + 8;
  EXPECT_NEAR(static_cast<double>(count) / kDraws, whole / 4, 0.08 * whole / 4);
  EXPECT_DOUBLE_EQ(sparse.Ratio(), 4);
}

TEST(ArenaLayout, PadsEveryTensorAndRefusesNamesThatComeTwice) {
  const ArenaLayout layout({{"a", {5}}, {"b", {33}}, {"c", {}}});
  EXPECT_EQ(layout.slots()[1].offset, 32);
  EXPECT_EQ(layout.slots()[2].offset, 96);
  EXPECT_EQ(layout.size(), 128);
  EXPECT_EQ(layout.elements(), 39);
  EXPECT_NE(layout.Digest(), ArenaLayout({{"a", {5}}, {"b", {32}}, {"c", {}}}).Digest());
  EXPECT_THROW(ArenaLayout({{"a", {5}}, {"a", {3}}}), UsageError);
  EXPECT_THROW(ArenaLayout({}), UsageError);
}

}  // namespace
}  // namespace orchard::sync
