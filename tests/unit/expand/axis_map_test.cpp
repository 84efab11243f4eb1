#include "expand/axis_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"

namespace orchard::expand {
namespace {

using testing::ElementsAre;

TEST(AxisMap, CircularTilesWholeBlocks) {
  EXPECT_THAT(AxisMap::Circular(3, 8).entries(), ElementsAre(0, 1, 2, 0, 1, 2, 0, 1));
  EXPECT_THAT(AxisMap::Circular(3, 8).copies(), ElementsAre(3, 3, 2));
}

TEST(AxisMap, PaddedKeepsWholeCopiesOnly) {
  const AxisMap map = AxisMap::Padded(3, 8);
  EXPECT_THAT(map.entries(), ElementsAre(0, 1, 2, 0, 1, 2, kPad, kPad));
  EXPECT_EQ(map.pads(), 2);
  EXPECT_TRUE(map.uniform());
}

TEST(AxisMap, BlocksMoveWholeHeads) {
  EXPECT_THAT(AxisMap::Blocks(AxisMap::Circular(2, 3), 2).entries(), ElementsAre(0, 1, 2, 3, 0, 1));
}

TEST(AxisMap, ConcatenateShiftsTheSources) {
  const AxisMap map = AxisMap::Concatenate({AxisMap::Circular(1, 2), AxisMap::Padded(2, 3)});
  EXPECT_THAT(map.entries(), ElementsAre(0, 0, 1, 2, kPad));
  EXPECT_EQ(map.source_size(), 3);
}

// The runs are another way to write the map: together they cover each target unit once.
void CheckRuns(const AxisMap& map) {
  std::vector<int64_t> rebuilt(map.size(), -7);
  for (const CopyRun& run : map.copy_runs()) {
    for (int64_t target : run.targets) {
      for (int64_t l = 0; l < run.length; ++l) {
        RC_ASSERT(rebuilt[target + l] == -7);
        rebuilt[target + l] = run.source + l;
      }
    }
  }
  for (const PadRun& run : map.pad_runs()) {
    for (int64_t l = 0; l < run.length; ++l) {
      RC_ASSERT(rebuilt[run.target + l] == -7);
      rebuilt[run.target + l] = kPad;
    }
  }
  RC_ASSERT(rebuilt == map.entries());
}

RC_GTEST_PROP(AxisMapRuns, CoverEveryUnitOnce, ()) {
  const int64_t source = *rc::gen::inRange<int64_t>(1, 20);
  const int64_t target = source + *rc::gen::inRange<int64_t>(0, 60);
  CheckRuns(AxisMap::Circular(source, target));
  CheckRuns(AxisMap::Padded(source, target));
  CheckRuns(AxisMap::IdentityThenPad(source, target));
  CheckRuns(AxisMap::RandomCopies(source, target, 5));
  CheckRuns(AxisMap::Blocks(AxisMap::Circular(source, target), 3));
}

TEST(AxisMapRuns, CircularIsTwoRuns) {
  EXPECT_EQ(AxisMap::Circular(24, 56).copy_runs().size(), 2u);
}

RC_GTEST_PROP(RandomCopies, KeepEverySource, ()) {
  const int64_t source = *rc::gen::inRange<int64_t>(1, 20);
  const AxisMap map = AxisMap::RandomCopies(source, source + *rc::gen::inRange<int64_t>(0, 60), 1);
  RC_ASSERT(map.covers_every_source());
  RC_ASSERT(map.pads() == 0);
}

TEST(HeadMaps, AreCircularWithoutGroups) {
  const HeadMaps maps = MakeHeadMaps(3, 3, 7, 7);
  EXPECT_THAT(maps.query.entries(), ElementsAre(0, 1, 2, 0, 1, 2, 0));
  EXPECT_EQ(maps.query.entries(), maps.key_value.entries());
}

// Hand-worked from the definition: (query heads, key-value heads) (6, 3) -> (14, 7), (12, 3), (10,
// 5).
TEST(HeadMaps, GiveTheWorkedTables) {
  const HeadMaps same_group = MakeHeadMaps(6, 3, 14, 7);
  EXPECT_THAT(same_group.key_value.entries(), ElementsAre(0, 1, 2, 0, 1, 2, 0));
  EXPECT_THAT(same_group.query.entries(), ElementsAre(0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1));
  const HeadMaps larger_group = MakeHeadMaps(6, 3, 12, 3);
  EXPECT_THAT(larger_group.query.entries(), ElementsAre(0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5));
  const HeadMaps five = MakeHeadMaps(6, 3, 10, 5);
  EXPECT_THAT(five.key_value.entries(), ElementsAre(0, 1, 2, 0, 1));
  EXPECT_THAT(five.query.entries(), ElementsAre(0, 1, 2, 3, 4, 5, 0, 1, 2, 3));
}

// The identity behind attention: a target query head reads the copy of the key-value head that its
// source reads.
RC_GTEST_PROP(HeadMaps, KeepEachQueryWithItsKeyValueHead, ()) {
  const int64_t kv_s = *rc::gen::inRange<int64_t>(1, 6), group_s = *rc::gen::inRange<int64_t>(1, 5);
  const int64_t kv_t = kv_s + *rc::gen::inRange<int64_t>(0, 9),
                group_t = *rc::gen::inRange<int64_t>(1, 9);
  RC_PRE(HeadMapsExist(kv_s * group_s, kv_s, kv_t * group_t, kv_t));
  const HeadMaps maps = MakeHeadMaps(kv_s * group_s, kv_s, kv_t * group_t, kv_t);
  RC_ASSERT(maps.query.covers_every_source());
  RC_ASSERT(maps.key_value.covers_every_source());
  for (int64_t j = 0; j < maps.query.size(); ++j) {
    RC_ASSERT(maps.query[j] / group_s == maps.key_value[j / group_t]);
  }
}

TEST(HeadMaps, RefuseGroupsThatLoseAHeadAndNameLegalOnes) {
  try {
    MakeHeadMaps(
        8, 2, 9,
        3);  // one key-value head keeps a single copy, whose group of 3 cannot hold 4 queries
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::kImpossible);
    EXPECT_THAT(e.what(), testing::HasSubstr("8 heads with 2 key-value heads"));
  }
}

}  // namespace
}  // namespace orchard::expand
