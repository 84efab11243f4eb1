#include "io/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"
#include "unit/text/tokenizer_json.h"

namespace orchard::text {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Tokenizer, TruncatesTheLongerTextOfAPairFirst) {
  json document = BertJson({"a", "b"});
  document["truncation"] = {
      {"max_length", 8}, {"strategy", "LongestFirst"}, {"stride", 0}, {"direction", "Right"}};
  const Tokenizer t = Tokenizer::FromJson(document.dump());
  EXPECT_THAT(t.EncodePair("a", "b b b b b b").ids, ElementsAre(2, 5, 3, 6, 6, 6, 6, 3));
  EXPECT_THAT(t.EncodePair("a a a a", "b b b b b b").ids, ElementsAre(2, 5, 5, 3, 6, 6, 6, 3));
  EXPECT_EQ(t.Encode("a a a a a a a a").size(), 8u);
  EXPECT_EQ(t.Encode("a a a a a a a a", {.truncate = false}).size(), 10u);
}

TEST(Tokenizer, TruncatesFromTheLeftWhenToldTo) {
  json document = BertJson({"a", "b"});
  document["truncation"] = {{"max_length", 4}, {"strategy", "LongestFirst"}, {"direction", "Left"}};
  EXPECT_THAT(Tokenizer::FromJson(document.dump()).Encode("a a a b b").ids,
              ElementsAre(2, 6, 6, 3));
}

TEST(Tokenizer, PadsToAFixedLengthOrAMultiple) {
  json document = BertJson({"a"});
  document["padding"] = {{"strategy", {{"Fixed", 5}}}, {"direction", "Right"}, {"pad_id", 0}};
  const Encoding right = Tokenizer::FromJson(document.dump()).Encode("a");
  EXPECT_THAT(right.ids, ElementsAre(2, 5, 3, 0, 0));
  EXPECT_THAT(right.attention_mask, ElementsAre(1, 1, 1, 0, 0));
  document["padding"] = {
      {"strategy", "BatchLongest"}, {"direction", "Left"}, {"pad_to_multiple_of", 4}};
  EXPECT_THAT(Tokenizer::FromJson(document.dump()).Encode("a").ids, ElementsAre(0, 2, 5, 3));
}

TEST(Tokenizer, SpecialTokensInTheTextAreTheirIds) {
  const Tokenizer t = Tokenizer::FromJson(BertJson({"a"}).dump());
  EXPECT_THAT(t.Ids("a[MASK]a"), ElementsAre(5, 4, 5));
  EXPECT_EQ(t.Id(SpecialToken::kMask), 4);
  EXPECT_EQ(t.Id(SpecialToken::kBegin), std::nullopt);
}

TEST(Tokenizer, RobertaHasTwoSeparatorsAndOneType) {
  json document = BertJson({"a", "b"});
  document["post_processor"] = {
      {"type", "RobertaProcessing"}, {"sep", {"[SEP]", 3}}, {"cls", {"[CLS]", 2}}};
  const Encoding pair = Tokenizer::FromJson(document.dump()).EncodePair("a", "b");
  EXPECT_THAT(pair.ids, ElementsAre(2, 5, 3, 3, 6, 3));
  EXPECT_THAT(pair.type_ids, ::testing::Each(0));
}

TEST(Tokenizer, BytesAreTheirOwnIds) {
  const Tokenizer t = Tokenizer::Open("bytes");
  EXPECT_THAT(t.Ids("a\xFF"), ElementsAre('a', 255));
  EXPECT_EQ(t.vocabulary_size(), 259);
  EXPECT_EQ(t.Decode(t.Ids("caf\xC3\xA9 \xFF")), "caf\xC3\xA9 \xFF");
  EXPECT_EQ(t.Id(SpecialToken::kMask), 257);
}

TEST(Tokenizer, NamesTheDamagedKey) {
  json document = BertJson({"a"});
  document["model"]["vocab"]["b"] = -1;
  try {
    Tokenizer::FromJson(document.dump(), "t.json");
    FAIL() << "a negative id was accepted";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("t.json: .model.vocab[\"b\"]"));
  }
}

// Every one of these is a file that someone could hand us.
TEST(Tokenizer, RefusesDamagedDocuments) {
  const json good = BertJson({"a"});
  std::vector<json> bad(12, good);
  bad[0]["model"]["vocab"]["b"] = 1.5;
  bad[1]["model"]["vocab"]["b"] = 18446744073709551615ull;
  bad[2]["model"]["vocab"] = {"a", "b"};
  bad[3]["model"].erase("vocab");
  bad[4]["model"]["unk_token"] = "absent";
  bad[5]["normalizer"] = "lower";
  bad[6]["added_tokens"][0]["id"] = "0";
  bad[7]["post_processor"]["cls"] = {"[CLS]"};
  bad[8]["padding"] = {{"strategy", {{"Fixed", 1ull << 40}}}};
  bad[9]["model"]["max_input_chars_per_word"] = -3;
  bad[10] = json::array();
  bad[11]["post_processor"] = {{"type", "TemplateProcessing"},
                               {"single", {{{"SpecialToken", {{"id", "[X]"}}}}}},
                               {"pair", json::array()},
                               {"special_tokens", json::object()}};
  for (const json& document : bad) EXPECT_THROW(Tokenizer::FromJson(document.dump()), DataError);
  for (const char* text : {"", "{", "null", "[1,2", "{\"model\": \xFF}"}) {
    EXPECT_THROW(Tokenizer::FromJson(text), DataError);
  }
}

TEST(Tokenizer, RefusesEndlessNesting) {
  json nested = {{"type", "NFC"}};
  for (int i = 0; i < 1000; ++i) nested = {{"type", "Sequence"}, {"normalizers", {nested}}};
  json document = BertJson({"a"});
  document["normalizer"] = nested;
  EXPECT_THROW(Tokenizer::FromJson(document.dump()), DataError);
}

TEST(Tokenizer, RefusesComponentsItDoesNotKnow) {
  for (const auto& [key, type] : {std::pair{"normalizer", "Precompiled"},
                                  {"pre_tokenizer", "UnicodeScripts"},
                                  {"model", "Unigram"},
                                  {"decoder", "CTC"},
                                  {"post_processor", "Other"}}) {
    json document = BertJson({"a"});
    document[key]["type"] = type;
    EXPECT_THROW(Tokenizer::FromJson(document.dump()), ImpossibleError) << key;
  }
}

RC_GTEST_PROP(Tokenizer, ASessionGivesTheSameIdsAsSingleCalls,
              (const std::vector<std::string>& texts)) {
  static const Tokenizer t =
      Tokenizer::FromJson(ByteLevelJson({"a b", "c d", "ab cd", "\u0120 a"}).dump());
  Tokenizer::Session session(t);
  for (const std::string& text : texts) {
    std::vector<int32_t> ids;
    session.Append(text + " abcd abcd", ids);
    RC_ASSERT(ids == t.Ids(text + " abcd abcd"));
  }
}

}  // namespace
}  // namespace orchard::text
