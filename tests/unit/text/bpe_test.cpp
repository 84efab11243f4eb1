#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"
#include "io/text/split_pattern.h"
#include "io/text/tokenizer.h"
#include "unit/text/tokenizer_json.h"

namespace orchard::text {
namespace {

using ::testing::ElementsAre;

Tokenizer ByteLevel(const std::vector<std::string>& merges) {
  return Tokenizer::FromJson(ByteLevelJson(merges).dump());
}

TEST(Bpe, MergesByRankAndThenFromTheLeft) {
  const Tokenizer t = ByteLevel({"b c", "a b", "a a"});  // bc = 256, ab = 257, aa = 258
  EXPECT_THAT(t.Ids("abc"), ElementsAre('a', 256));
  EXPECT_THAT(t.Ids("aaa"), ElementsAre(258, 'a'));
  EXPECT_THAT(t.Ids("aab"), ElementsAre('a', 257));
}

TEST(Bpe, ReadsMergesAsPairs) {
  nlohmann::json json = ByteLevelJson({"b c", "a bc"});
  const Tokenizer strings = Tokenizer::FromJson(json.dump());
  json["model"]["merges"] = nlohmann::json::parse(R"([["b", "c"], ["a", "bc"]])");
  EXPECT_EQ(Tokenizer::FromJson(json.dump()).Ids("abcbc"), strings.Ids("abcbc"));
  EXPECT_THAT(strings.Ids("abcbc"), ElementsAre(257, 256));
}

TEST(Bpe, TakesAWholeWordOfTheVocabularyWhenMergesAreIgnored) {
  nlohmann::json json = ByteLevelJson({"b c"});
  json["model"]["vocab"]["\u0120abc"] = 300;  // the alphabet spells a blank U+0120
  EXPECT_THAT(Tokenizer::FromJson(json.dump()).Ids(" abc"), ElementsAre(' ', 'a', 256));
  json["model"]["ignore_merges"] = true;
  EXPECT_THAT(Tokenizer::FromJson(json.dump()).Ids(" abc"), ElementsAre(300));
}

TEST(Bpe, FallsBackToBytesAndThenToTheUnknownToken) {
  nlohmann::json json = {{"model",
                          {{"type", "BPE"},
                           {"vocab", {{"<unk>", 0}, {"a", 1}, {"<0xC3>", 2}, {"<0xA9>", 3}}},
                           {"merges", nlohmann::json::array()},
                           {"unk_token", "<unk>"},
                           {"byte_fallback", true}}}};
  EXPECT_THAT(Tokenizer::FromJson(json.dump()).Ids("a\u00E9a"), ElementsAre(1, 2, 3, 1));
  EXPECT_THAT(Tokenizer::FromJson(json.dump()).Ids("xya"), ElementsAre(0, 0, 1));
  json["model"]["fuse_unk"] = true;
  EXPECT_THAT(Tokenizer::FromJson(json.dump()).Ids("xya"), ElementsAre(0, 1));
}

RC_GTEST_PROP(Bpe, DecodingGivesValidTextBack, (const std::string& bytes)) {
  static const Tokenizer t = ByteLevel({"e r", "t h", "\u0120 a", "\u00C3 \u00A9"});
  const std::string text = ReplaceInvalidUtf8(bytes);
  RC_ASSERT(t.Decode(t.Ids(bytes)) == text);
}

std::vector<std::string> Cut(const SplitPattern& pattern, std::string_view text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = pattern.MatchEnd(text, at);
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

TEST(SplitPattern, Gpt2KeepsTheBlankWithTheWordAndLeavesTheRest) {
  EXPECT_THAT(Cut(SplitPattern::Gpt2(), "it's  two 12,\n\n x  "),
              ElementsAre("it", "'s", " ", " two", " 12", ",", "\n\n", " x", "  "));
}

TEST(SplitPattern, Llama3CutsNumbersInThreesAndQwen2InOnes) {
  const auto llama = SplitPattern::Find(
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  const auto qwen = SplitPattern::Find(
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  ASSERT_TRUE(llama && qwen);
  EXPECT_THAT(Cut(*llama, "IT'S 12345!\n\n (a)  \n b"),
              ElementsAre("IT", "'S", " ", "123", "45", "!\n\n", " (", "a", ")", "  \n", " b"));
  EXPECT_THAT(Cut(*qwen, "12 x"), ElementsAre("1", "2", " x"));
}

TEST(SplitPattern, RefusesAnUnknownExpression) {
  EXPECT_FALSE(SplitPattern::Find(R"(\w+)"));
  nlohmann::json json = ByteLevelJson({});
  json["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "\\w+"}}}};
  EXPECT_THROW(Tokenizer::FromJson(json.dump()), ImpossibleError);
}

}  // namespace
}  // namespace orchard::text
