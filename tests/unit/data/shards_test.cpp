#include "data/shards.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace orchard::data {
namespace {

// 10 classes, in an order of no kind.
std::vector<int32_t> MixedLabels(int count) {
  std::vector<int32_t> labels;
  for (int i = 0; i < count; ++i) labels.push_back(i * 7 % 10);
  return labels;
}

TEST(Shards, AreDisjointAndEquallyLarge) {
  const auto labels = MixedLabels(1003);
  for (const ShardKind kind :
       {ShardKind::kShuffled, ShardKind::kContiguous, ShardKind::kStrided, ShardKind::kByLabel}) {
    const auto shards = MakeShards(labels, 8, kind, 1, 5);
    std::set<int64_t> all;
    for (const auto& shard : shards) {
      EXPECT_EQ(shard.size(), 125u);
      all.insert(shard.begin(), shard.end());
    }
    EXPECT_EQ(all.size(), 1000u);
  }
}

TEST(Shards, ByLabelGivesEachRankFewClasses) {
  const auto labels = MixedLabels(1000);
  const auto shards = MakeShards(labels, 5, ShardKind::kByLabel, 1, 5);
  for (const auto& shard : shards) {
    std::set<int32_t> classes;
    for (const int64_t i : shard) classes.insert(labels[i]);
    EXPECT_EQ(classes.size(), 2u);
  }
  EXPECT_NEAR(LabelSkew(labels, shards), 0.8, 1e-12);  // 8 of 10 classes are missing
  EXPECT_LT(LabelSkew(labels, MakeShards(labels, 5, ShardKind::kShuffled, 1, 5)), 0.1);
}

TEST(Shards, DirichletUsesEverySampleAndIsMoreUnevenForSmallAlpha) {
  const auto labels = MixedLabels(5000);
  double skew[2];
  int k = 0;
  for (const double alpha : {100.0, 0.1}) {
    const auto shards = MakeShards(labels, 4, ShardKind::kDirichlet, alpha, 3);
    size_t count = 0;
    std::set<int64_t> all;
    for (const auto& shard : shards) {
      count += shard.size();
      all.insert(shard.begin(), shard.end());
    }
    EXPECT_EQ(count, labels.size());
    EXPECT_EQ(all.size(), labels.size());
    skew[k++] = LabelSkew(labels, shards);
  }
  EXPECT_LT(skew[0], 0.15);
  EXPECT_GT(skew[1], 0.4);
}

TEST(Shards, RefuseMoreRanksThanSamples) {
  EXPECT_THROW(MakeShards(MixedLabels(3), 4, ShardKind::kShuffled, 1, 5), UsageError);
}

}  // namespace
}  // namespace orchard::data
