#include "io/json_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "unit/io/temporary_directory.h"

namespace orchard::io {
namespace {

TEST(JsonLinesReader, SkipsBlankLinesAndCountsThem) {
  const TemporaryDirectory directory;
  JsonLinesReader reader(directory.Put("a.jsonl", "{\"a\":1}\r\n\n  \n[2]\n3"));
  nlohmann::json value;
  ASSERT_TRUE(reader.Next(value));
  EXPECT_EQ(value["a"], 1);
  ASSERT_TRUE(reader.Next(value));
  EXPECT_EQ(value, nlohmann::json::parse("[2]"));
  EXPECT_EQ(reader.line(), 4);
  ASSERT_TRUE(reader.Next(value));
  EXPECT_EQ(value, 3);
  EXPECT_FALSE(reader.Next(value));
}

TEST(JsonLinesReader, ErrorsNameTheLine) {
  const TemporaryDirectory directory;
  JsonLinesReader reader(directory.Put("a.jsonl", "1\n\n{\"a\":}\n"));
  nlohmann::json value;
  ASSERT_TRUE(reader.Next(value));
  try {
    reader.Next(value);
    ADD_FAILURE();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("a.jsonl:3:6"));
  }
}

TEST(JsonLinesReader, EmptyFileHasNoValues) {
  const TemporaryDirectory directory;
  JsonLinesReader reader(directory.Put("a.jsonl", ""));
  nlohmann::json value;
  EXPECT_FALSE(reader.Next(value));
}

}  // namespace
}  // namespace orchard::io
