#include "data/token_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"

namespace orchard::data {
namespace {

using ::testing::ElementsAre;

std::vector<Sample> Indices(std::initializer_list<int64_t> indices) {
  std::vector<Sample> samples;
  for (const int64_t i : indices) samples.push_back({i, 0, i});
  return samples;
}

TokenDataset Counting(int32_t count, int64_t block, int64_t row_length = 0) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), 0);
  return TokenDataset(TokensInMemory(std::move(tokens), row_length), block);
}

TEST(TokenDataset, PredictsTheNextTokenAcrossBlocks) {
  const TokenDataset data = Counting(9, 3);
  ASSERT_EQ(data.size(), 3);
  const TokenBatch batch = data.Causal(Indices({2, 0}));
  EXPECT_THAT(batch.inputs, ElementsAre(6, 7, 8, 0, 1, 2));
  EXPECT_THAT(batch.labels, ElementsAre(7, 8, kIgnoreLabel, 1, 2, 3));
}

TEST(TokenDataset, RowsOfATableAreTextsOfTheirOwn) {
  const TokenDataset data = Counting(8, 4, 4);
  EXPECT_THAT(data.Causal(Indices({0})).labels, ElementsAre(1, 2, 3, kIgnoreLabel));
  EXPECT_THAT(Counting(8, 3, 4).Causal(Indices({1})).labels, ElementsAre(5, 6, 7));
  EXPECT_THROW(Counting(8, 5, 4), UsageError);
}

TEST(TokenDataset, SlicesAreDisjointParts) {
  const TokenDataset all = Counting(12, 3);
  EXPECT_THAT(all.Slice(3, 1).Causal(Indices({0})).inputs, ElementsAre(9, 10, 11));
  EXPECT_THAT(all.Slice(1, 3).Slice(1, 2).Causal(Indices({0})).inputs, ElementsAre(6, 7, 8));
  EXPECT_THROW(all.Slice(3, 2), UsageError);
}

TEST(TokenDataset, GivesTheSameCorpusForAnyNumberOfThreads) {
  const text::Tokenizer bytes = text::Tokenizer::Bytes();
  std::string corpus;
  for (int i = 0; i < 50000; ++i)
    corpus += "line " + std::to_string(i % 977 * 31) + (i % 7 ? "\n" : "\r\n\n");
  text::CorpusOptions options;
  options.end_token = 258;
  ThreadPool one(1), many(4);
  const auto expected = text::EncodeCorpus(bytes, corpus, options, one);
  EXPECT_EQ(text::EncodeCorpus(bytes, corpus, options, many), expected);
  EXPECT_EQ(std::count(expected.begin(), expected.end(), 258), 50000);
}

TEST(Corpus, CutsLinesAndParagraphs) {
  using text::DocumentSplit;
  const std::string_view text = "a\nb\r\n\r\n\nc\n";
  EXPECT_THAT(text::SplitDocuments(text, DocumentSplit::kLine), ElementsAre("a", "b", "c"));
  EXPECT_THAT(text::SplitDocuments(text, DocumentSplit::kParagraph), ElementsAre("a\nb", "c"));
  EXPECT_THAT(text::SplitDocuments(text, DocumentSplit::kWhole), ElementsAre(text));
}

Masker MakeMasker(uint64_t seed = 3) {
  MaskOptions options;
  options.mask_id = 4;
  options.vocabulary_size = 1000;
  options.special_ids = {0, 1, 2, 3, 4};
  return Masker(options, seed);
}

TEST(Masker, HidesFifteenPercentBehindThreeKinds) {
  constexpr size_t kTokens = 400000;
  std::vector<int64_t> inputs(kTokens, 500), labels(kTokens);
  MakeMasker().Apply(0, 0, inputs, labels);
  double predicted = 0, masked = 0, kept = 0, random = 0;
  for (size_t i = 0; i < kTokens; ++i) {
    if (labels[i] == kIgnoreLabel) {
      ASSERT_EQ(inputs[i], 500);
      continue;
    }
    ASSERT_EQ(labels[i], 500);
    ++predicted;
    masked += inputs[i] == 4;
    kept += inputs[i] == 500;
    random += inputs[i] != 4 && inputs[i] != 500;
  }
  // Five standard errors of each share.
  const auto near = [](double count, double total, double p) {
    return std::abs(count / total - p) < 5 * std::sqrt(p * (1 - p) / total);
  };
  EXPECT_TRUE(near(predicted, kTokens, 0.15)) << predicted;
  EXPECT_TRUE(near(masked, predicted, 0.8)) << masked / predicted;
  EXPECT_TRUE(near(random, predicted, 0.1)) << random / predicted;
  EXPECT_TRUE(near(kept, predicted, 0.1)) << kept / predicted;
}

TEST(Masker, NeverTouchesSpecialTokensNorBringsThemIn) {
  std::vector<int64_t> inputs(100000), labels(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) inputs[i] = static_cast<int64_t>(i % 10);
  const std::vector<int64_t> before = inputs;
  MakeMasker().Apply(0, 0, inputs, labels);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (before[i] <= 4) {
      ASSERT_EQ(inputs[i], before[i]);
      ASSERT_EQ(labels[i], kIgnoreLabel);
    } else {
      ASSERT_GE(inputs[i], 4);  // 4 is the mask
    }
  }
}

TEST(Masker, DependsOnEpochAndSampleButNotOnTheBatch) {
  const TokenDataset data = Counting(900, 100);
  const Masker masker = MakeMasker();
  const TokenBatch both = data.Masked(Indices({4, 7}), masker, 2, 3);
  const TokenBatch alone = data.Masked(Indices({7}), masker, 2, 3);
  EXPECT_EQ(both.columns, 102);
  EXPECT_TRUE(std::equal(alone.inputs.begin(), alone.inputs.end(), both.inputs.begin() + 102));
  EXPECT_TRUE(std::equal(alone.labels.begin(), alone.labels.end(), both.labels.begin() + 102));
  std::vector<Sample> later = {{7, 1, 7}};
  EXPECT_NE(data.Masked(later, masker, 2, 3).labels, alone.labels);
}

TEST(Masker, RefusesImpossibleOptions) {
  MaskOptions options;
  options.vocabulary_size = 10;
  options.mask_id = 10;
  EXPECT_THROW(Masker(options, 1), UsageError);
  options.mask_id = 0;
  options.random_fraction = 0.3;
  EXPECT_THROW(Masker(options, 1), UsageError);
}

}  // namespace
}  // namespace orchard::data
