#include "io/json_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "unit/io/temporary_directory.h"

namespace orchard::io {
namespace {

using ::testing::HasSubstr;

std::string ParseError(const std::string& text) {
  try {
    ParseJson(text, "config.json");
  } catch (const DataError& error) {
    return error.what();
  }
  ADD_FAILURE() << "parsed " << text;
  return "";
}

TEST(ParseJson, BuildsWhatNlohmannBuilds) {
  const std::string text =
      R"({"a":[1,-2,3.5,true,null,"\u00e9"],"b":{"c":{},"d":[[],[{}]]},"e":18446744073709551615})";
  EXPECT_EQ(ParseJson(text, ""), nlohmann::json::parse(text));
  EXPECT_EQ(ParseJson("7", ""), 7);
}

TEST(ParseJson, NamesLineAndColumn) {
  EXPECT_THAT(ParseError("{\n  \"a\": 1,\n  \"b\": x\n}"), HasSubstr("config.json:3:8"));
  EXPECT_THAT(ParseError("{\n\"a\": 1,\n\"a\": 2}"), HasSubstr("config.json:3:3"));
  EXPECT_THAT(ParseError("{\n\"a\": 1,\n\"a\": 2}"), HasSubstr("'a' appears twice"));
}

TEST(ParseJson, RefusesWhatIsNotJson) {
  EXPECT_THAT(ParseError(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(ParseError("[1e999]"), HasSubstr("overflow"));
  EXPECT_THAT(ParseError("[NaN]"), HasSubstr("not valid JSON"));
  EXPECT_THAT(ParseError("[1] 2"), HasSubstr("not valid JSON"));
  EXPECT_THAT(ParseError("\"\xFF\""), HasSubstr("UTF-8"));
  EXPECT_THAT(ParseError(std::string("[1]\0[", 5)), HasSubstr("zero byte"));
  EXPECT_THAT(ParseError(std::string(201, '[')), HasSubstr("200 deep"));
}

TEST(ReadJsonFile, RefusesTooLargeAFile) {
  const TemporaryDirectory directory;
  const auto path = directory.Put("a.json", "[1,2,3]");
  EXPECT_EQ(ReadJsonFile(path).size(), 3u);
  EXPECT_THROW(ReadJsonFile(path, 6), DataError);
}

}  // namespace
}  // namespace orchard::io
