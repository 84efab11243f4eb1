#include "io/json_scanner.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace orchard::io {
namespace {

// What a text says, event by event, or "!" where it stops being JSON.
class Recorder : public JsonEvents {
 public:
  void Null() override { log += "null "; }
  void Boolean(bool value) override { log += value ? "true " : "false "; }
  void Unsigned(uint64_t value) override { log += "u" + std::to_string(value) + " "; }
  void OtherNumber(std::string_view text) override { log += "n" + std::string(text) + " "; }
  void String(std::string_view value) override { log += "'" + std::string(value) + "' "; }
  void Key(std::string_view value) override { log += std::string(value) + ": "; }
  void StartObject() override { log += "{ "; }
  void EndObject() override { log += "} "; }
  void StartArray() override { log += "[ "; }
  void EndArray() override { log += "] "; }
  [[noreturn]] void Invalid(const char* reason) override { throw std::runtime_error(reason); }

  std::string log;
};

std::string Events(std::string_view text) {
  Recorder recorder;
  try {
    ScanJson(text, recorder);
  } catch (const std::runtime_error&) {
    recorder.log += "!";
  }
  return recorder.log;
}

bool IsJson(std::string_view text) { return Events(text).find('!') == std::string::npos; }

TEST(ScanJson, GivesEveryEventInOrder) {
  EXPECT_EQ(Events(R"( { "a" : [ 1 , -2, 0.5,true,false , null ] ,"b":{},"c":"x" } )"),
            "{ a: [ u1 n-2 n0.5 true false null ] b: { } c: 'x' } ");
  EXPECT_EQ(Events("18446744073709551615"), "u18446744073709551615 ");
  EXPECT_EQ(Events("18446744073709551616"), "n18446744073709551616 ");
}

TEST(ScanJson, UnescapesText) {
  EXPECT_EQ(Events(R"("a\"\\\/\b\f\n\r\t\u00e9\u20ac\ud83d\ude00z")"),
            "'a\"\\/\b\f\n\r\t\u00e9\u20ac\U0001F600z' ");
}

TEST(ScanJson, RefusesWhatIsNotJson) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[",
                           "[1",
                           "[1,",
                           "[1,]",
                           "[,1]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{1:2}",
                           "[1 2]",
                           "{}{}",
                           "1 2",
                           "01",
                           "+1",
                           "-",
                           ".5",
                           "1.",
                           "1e",
                           "1e+",
                           "1e999",
                           "0x1",
                           "nul",
                           "True",
                           "NaN",
                           "'a'",
                           "\"a",
                           "\"\\x\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\u0041\"",
                           "\"\n\"",
                           "\"\xC0\xAF\"",
                           "\"\xED\xA0\x80\"",
                           "\"\xF4\x90\x80\x80\"",
                           "\"\xC3\"",
                           "\"\x80\"",
                           "]",
                           "}",
                           "[}",
                           "{]",
                           "/**/1",
                           "\xEF\xBB\xBF{}"}) {
    EXPECT_FALSE(IsJson(text)) << text;
  }
  EXPECT_TRUE(IsJson(std::string(kMaxJsonDepth, '[') + std::string(kMaxJsonDepth, ']')));
  EXPECT_FALSE(IsJson(std::string(kMaxJsonDepth + 1, '[')));
}

TEST(ScanJson, SaysWhereItStopped) {
  Recorder recorder;
  const std::string_view text = "[1, 2, x]";
  EXPECT_THROW(ScanJson(text, recorder), std::runtime_error);
  EXPECT_EQ(recorder.at - text.data(), 7);
}

// Random strings over the bytes that matter, against another parser.
RC_GTEST_PROP(ScanJson, AgreesWithNlohmannOnWhatIsJson, ()) {
  const auto byte = rc::gen::elementOf(std::string("{}[]:,\"\\u0d8 1-.eE+tn\xC3\xA9\xED"));
  std::string text = *rc::gen::container<std::string>(byte);
  if (*rc::gen::arbitrary<bool>()) text = "[\"" + text + "\"]";
  RC_ASSERT(IsJson(text) == nlohmann::json::accept(text));
}

}  // namespace
}  // namespace orchard::io
