#include "io/text/unicode.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace orchard::text {
namespace {

TEST(Unicode, ReplacesMaximalSubpartsOfIllFormedSequences) {
  // The example of the Unicode standard, table 3-8, and the cases around it.
  EXPECT_EQ(ReplaceInvalidUtf8("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
            "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
  EXPECT_EQ(ReplaceInvalidUtf8("\xC0\xAF"), "\uFFFD\uFFFD");                      // overlong
  EXPECT_EQ(ReplaceInvalidUtf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");            // surrogate
  EXPECT_EQ(ReplaceInvalidUtf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // above U+10FFFF
  EXPECT_EQ(ReplaceInvalidUtf8("\xF0\x9F\x98"), "\uFFFD");                        // cut short
}

TEST(Unicode, AcceptsTheReplacementCharacterItself) {
  EXPECT_TRUE(IsValidUtf8("a\uFFFDb"));
  EXPECT_FALSE(IsValidUtf8("a\xFF"));
}

TEST(Unicode, EveryCodePointSurvivesEncodingAndDecoding) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    AppendUtf8(text, c);
    const CodePoint back = DecodeAt(text, 0);
    ASSERT_EQ(back.value, c);
    ASSERT_EQ(static_cast<size_t>(back.length), text.size());
  }
}

RC_GTEST_PROP(Unicode, RepairedTextIsValidAndRepairIsIdempotent, (const std::string& bytes)) {
  const std::string repaired = ReplaceInvalidUtf8(bytes);
  RC_ASSERT(IsValidUtf8(repaired));
  RC_ASSERT(ReplaceInvalidUtf8(repaired) == repaired);
}

TEST(Unicode, NormalFormsComposeAndDecompose) {
  EXPECT_EQ(Normalize("e\u0301", NormalForm::kNfc), "\u00E9");
  EXPECT_EQ(Normalize("\u00E9", NormalForm::kNfd), "e\u0301");
  EXPECT_EQ(Normalize("\uAC01", NormalForm::kNfd), "\u1100\u1161\u11A8");  // Hangul
  EXPECT_EQ(Normalize("\uFB01", NormalForm::kNfc), "\uFB01");
  EXPECT_EQ(Normalize("\uFB01", NormalForm::kNfkc), "fi");
  EXPECT_EQ(Normalize(std::string_view("a\0\u00E9", 4), NormalForm::kNfd),
            std::string("a\0e\u0301", 5));
}

TEST(Unicode, LowerCaseIsWithoutContext) {
  std::string out;
  for (const uint32_t c : {0x41u, 0xC9u, 0x3A3u, 0x130u, 0x1E9Eu}) AppendLower(out, c);
  EXPECT_EQ(out, "a\u00E9\u03C3i\u0307\u00DF");
}

}  // namespace
}  // namespace orchard::text
