#include "io/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"
#include "unit/io/temporary_directory.h"

namespace orchard::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

CsvTable Read(const std::string& text, bool header = true) {
  const TemporaryDirectory directory;
  return ReadCsv(directory.Put("labels.csv", text), header);
}

std::string ErrorOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(ReadCsv, QuotesHoldCommasLinesAndQuotes) {
  const CsvTable table = Read("file,label\r\n\"a,b\",1\r\n\"say \"\"hi\"\"\nthere\",2\r\nplain,3");
  EXPECT_THAT(table.header, ElementsAre("file", "label"));
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_EQ(table.rows[0][0], "a,b");
  EXPECT_EQ(table.rows[1][0], "say \"hi\"\nthere");
  EXPECT_THAT(table.lines, ElementsAre(2, 3, 5));
  EXPECT_EQ(table.Integer(2, table.Column("label")), 3);
}

TEST(ReadCsv, ByteOrderMarkAndBlankLinesAreSkipped) {
  const CsvTable table = Read(
      "\xEF\xBB\xBF"
      "a,b\n\n1,2\n\n");
  EXPECT_EQ(table.header[0], "a");
  EXPECT_EQ(table.rows.size(), 1u);
}

TEST(ReadCsv, ErrorsNameTheLine) {
  EXPECT_THAT(ErrorOf([] { Read("a,b\n1,2\n1,2,3\n"); }), HasSubstr("labels.csv:3"));
  EXPECT_THAT(ErrorOf([] { Read("a,b\n1,\"2\n3\n"); }), HasSubstr("never closed"));
  EXPECT_THAT(ErrorOf([] { Read("a,b\n1,\"2\"x\n"); }), HasSubstr("labels.csv:2"));
  EXPECT_THAT(ErrorOf([] { Read("a,b\n1,2\n").Column("c"); }), HasSubstr("it has: a, b"));
  EXPECT_THAT(ErrorOf([] { Read("a,b\n1,x\n").Integer(0, 1); }),
              HasSubstr("labels.csv:2: column 2"));
  EXPECT_THAT(ErrorOf([] { Read("a\n99999999999999999999\n").Integer(0, 0); }),
              HasSubstr("not an integer"));
}

RC_GTEST_PROP(ReadCsv, AnyTextSurvivesQuoting, ()) {
  const auto rows = *rc::gen::container<std::vector<std::pair<std::string, std::string>>>(
      rc::gen::arbitrary<std::pair<std::string, std::string>>());
  std::string text = "a,b\n";
  const auto quote = [](const std::string& field) {
    std::string out = "\"";
    for (char c : field) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + "\"";
  };
  for (const auto& [a, b] : rows) text += quote(a) + "," + quote(b) + "\n";
  const CsvTable table = Read(text);
  RC_ASSERT(table.rows.size() == rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    RC_ASSERT(table.rows[i][0] == rows[i].first);
    RC_ASSERT(table.rows[i][1] == rows[i].second);
  }
}

}  // namespace
}  // namespace orchard::io
