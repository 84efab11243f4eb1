#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/text/tokenizer.h"
#include "unit/text/tokenizer_json.h"

namespace orchard::text {
namespace {

using ::testing::ElementsAre;

Tokenizer Bert(const std::vector<std::string>& pieces) {
  return Tokenizer::FromJson(BertJson(pieces).dump());
}

TEST(WordPiece, TakesTheLongestPieceFromTheLeft) {
  const Tokenizer t = Bert({"un", "unaff", "##aff", "##able", "##ab", "##le"});
  EXPECT_THAT(t.Ids("unaffable"), ElementsAre(6, 8));  // unaff ##able
  EXPECT_THAT(t.Ids("unaffab"), ElementsAre(6, 9));    // unaff ##ab
}

TEST(WordPiece, IsUnknownAsAWholeWhenAnyPieceIsMissing) {
  const Tokenizer t = Bert({"un", "##able", "is"});
  EXPECT_THAT(t.Ids("is unstable is"), ElementsAre(7, 1, 7));
}

TEST(WordPiece, IsUnknownBeyondTheCharacterLimit) {
  nlohmann::json json = BertJson({"a", "##a", "\u00FC", "##\u00FC"});
  json["model"]["max_input_chars_per_word"] = 3;
  json["normalizer"]["strip_accents"] = false;
  const Tokenizer t = Tokenizer::FromJson(json.dump());
  EXPECT_THAT(t.Ids("aaa aaaa"), ElementsAre(5, 6, 6, 1));
  EXPECT_THAT(t.Ids("\u00FC\u00FC\u00FC"), ElementsAre(7, 8, 8));  // characters, not bytes
}

TEST(WordPiece, NormalisesAsBertDoes) {
  const Tokenizer t = Bert({"cafe", "\u4E2D", "!", "no"});
  EXPECT_THAT(t.Ids("CAF\u00C9\t\u4E2D\u4E2D!no"), ElementsAre(5, 6, 6, 7, 8));
  EXPECT_THAT(t.Ids(std::string("ca\x01"
                                "fe\u200D no\u00AD\0",
                                14)),
              ElementsAre(5, 8));
}

TEST(WordPiece, KeepsAccentsWhenToldTo) {
  nlohmann::json json = BertJson({"caf\u00E9", "cafe"});
  json["normalizer"]["strip_accents"] = false;
  EXPECT_THAT(Tokenizer::FromJson(json.dump()).Ids("Caf\u00C9 cafe"), ElementsAre(5, 6));
}

TEST(WordPiece, PutsSpecialTokensAroundOneTextAndAPair) {
  const Tokenizer t = Bert({"a", "b"});
  EXPECT_THAT(t.Encode("a b").ids, ElementsAre(2, 5, 6, 3));
  const Encoding pair = t.EncodePair("a", "b b");
  EXPECT_THAT(pair.ids, ElementsAre(2, 5, 3, 6, 6, 3));
  EXPECT_THAT(pair.type_ids, ElementsAre(0, 0, 0, 1, 1, 1));
  EXPECT_THAT(pair.special, ElementsAre(1, 0, 1, 0, 0, 1));
}

TEST(WordPiece, DecodesToReadableText) {
  const Tokenizer t = Bert({"un", "##able", ",", "it", "'", "s"});
  EXPECT_EQ(t.Decode(t.Encode("unable, it").ids), "unable, it");
  EXPECT_EQ(t.Decode(t.Encode("unable").ids, false), "[CLS] unable [SEP]");
}

}  // namespace
}  // namespace orchard::text
