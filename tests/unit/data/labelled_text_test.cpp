#include "data/labelled_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"

namespace orchard::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LabelledTextTest : public ::testing::Test {
 protected:
  LabelledTexts Read(const std::string& name, const std::string& contents,
                     const LabelledTextOptions& options = {}) {
    const std::filesystem::path path = std::filesystem::path(::testing::TempDir()) / name;
    std::ofstream(path, std::ios::binary) << contents;
    return ReadLabelledTexts(path, options);
  }
  std::string Message(const std::string& name, const std::string& contents,
                      const LabelledTextOptions& options = {}) {
    try {
      Read(name, contents, options);
    } catch (const DataError& error) {
      return error.what();
    }
    return "no error";
  }
};

TEST_F(LabelledTextTest, ReadsQuotedCsv) {
  const LabelledTexts t = Read("a.csv",
                               "\xEF\xBB\xBFlabel,text_a,text_b\r\n"
                               "yes,\"one, \"\"two\"\"\nthree\",\r\n"
                               "no,plain,b\r\n");
  ASSERT_EQ(t.examples.size(), 2u);
  EXPECT_TRUE(t.pairs);
  EXPECT_EQ(t.examples[0].text_a, "one, \"two\"\nthree");
  EXPECT_EQ(t.examples[1].text_b, "b");
  EXPECT_THAT(t.label_names, ElementsAre("no", "yes"));
  EXPECT_EQ(t.examples[0].label, 1);
}

TEST_F(LabelledTextTest, ReadsTsvWithoutQuoting) {
  const LabelledTexts t = Read("a.tsv", "sentence\tscore\n\"as it is\t10\nx\t9\n",
                               {.text_a = "sentence", .label = "score"});
  EXPECT_FALSE(t.pairs);
  EXPECT_EQ(t.examples[0].text_a, "\"as it is");
  EXPECT_THAT(t.label_names, ElementsAre("9", "10"));  // as numbers
}

TEST_F(LabelledTextTest, ReadsJsonLinesAndScores) {
  const LabelledTexts t = Read("a.jsonl",
                               R"({"text_a": "x", "text_b": "y", "label": 2.5})"
                               "\n\n"
                               R"({"text_a": "z", "text_b": "w", "label": "4"})",
                               {.regression = true});
  EXPECT_EQ(t.examples[0].score, 2.5);
  EXPECT_EQ(t.examples[1].score, 4);
  EXPECT_TRUE(t.pairs);
}

TEST_F(LabelledTextTest, NamesTheLineThatIsWrong) {
  EXPECT_THAT(Message("b.csv", "text_a,label\nx,1\n\"y\nz,1\n"), HasSubstr("b.csv:3"));
  EXPECT_THAT(Message("b.csv", "text_a,label\nx\n"), HasSubstr("b.csv:2"));
  EXPECT_THAT(Message("b.csv", "text,label\nx,1\n"), HasSubstr("text_a"));
  EXPECT_THAT(Message("b.csv", "text_a,label\nx,low\n", {.regression = true}), HasSubstr("low"));
  EXPECT_THAT(Message("b.jsonl", "{\"text_a\": \"x\", \"label\": 1}\n[1]\n"), HasSubstr(":2"));
  EXPECT_THAT(Message("b.csv", ""), HasSubstr("empty"));
}

}  // namespace
}  // namespace orchard::data
