#include "io/text/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace orchard::text {
namespace {

using ::testing::ElementsAre;
using Segment = AddedTokens::Segment;

AddedTokens Tokens(std::vector<AddedToken> tokens) {
  return AddedTokens(std::move(tokens), [](std::string s) {
    for (char& c : s) c = static_cast<char>(std::tolower(c));
    return s;
  });
}

TEST(AddedTokens, FindsTheLeftmostLongest) {
  const AddedTokens t = Tokens({{.content = "<a>", .id = 1}, {.content = "<a><b>", .id = 2}});
  EXPECT_THAT(t.Split("x<a><b><a>y", false),
              ElementsAre(Segment("x"), Segment(2), Segment(1), Segment("y")));
}

TEST(AddedTokens, TakesTheWhiteSpaceItStrips) {
  const AddedTokens t = Tokens(
      {{.content = "<m>", .id = 1, .lstrip = true, .rstrip = true}, {.content = "<n>", .id = 2}});
  EXPECT_THAT(t.Split("a \u2003<m>\t b", false),
              ElementsAre(Segment("a"), Segment(1), Segment("b")));
  EXPECT_THAT(t.Split("a <n> b", false), ElementsAre(Segment("a "), Segment(2), Segment(" b")));
}

TEST(AddedTokens, LeavesPartsOfWordsWhenSingleWord) {
  const AddedTokens t = Tokens({{.content = "ony", .id = 1, .single_word = true}});
  EXPECT_THAT(t.Split("anthony ony", false), ElementsAre(Segment("anthony "), Segment(1)));
  EXPECT_THAT(t.Split("\u00E9ony", false), ElementsAre(Segment("\u00E9ony")));
}

TEST(AddedTokens, LooksForNormalisedTokensInNormalisedText) {
  const AddedTokens t = Tokens({{.content = "New", .id = 1, .normalized = true}});
  EXPECT_THAT(t.Split("New", false), ElementsAre(Segment("New")));
  EXPECT_THAT(t.Split("a new b", true), ElementsAre(Segment("a "), Segment(1), Segment(" b")));
}

}  // namespace
}  // namespace orchard::text
