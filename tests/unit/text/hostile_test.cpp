#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "unit/text/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace orchard::text {
namespace {

void Feed(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

nlohmann::json Document(int which) {
  nlohmann::json document = which % 2 == 0 ? BertJson({"a", "##b", "\u00E9"})
                                           : ByteLevelJson({"a b", "\u0120 a", "\u00C3 \u00A9"});
  if (which >= 2) {
    document["truncation"] = {{"max_length", 6}, {"strategy", "LongestFirst"}, {"stride", 0}};
    document["padding"] = {{"strategy", {{"Fixed", 9}}}, {"pad_id", 0}, {"pad_type_id", 0}};
  }
  return document;
}

// Under the sanitizers these find what a crash would not show.
RC_GTEST_PROP(Hostile, DamagedBytesAreRefusedOrWork, (const std::string& text)) {
  std::string input = Document(*rc::gen::inRange(0, 4)).dump();
  const int changes = *rc::gen::inRange(0, 4);
  for (int i = 0; i < changes; ++i) {
    const size_t at = *rc::gen::inRange<size_t>(0, input.size());
    switch (*rc::gen::inRange(0, 3)) {
      case 0:
        input[at] = *rc::gen::arbitrary<char>();
        break;
      case 1:
        input.erase(at, *rc::gen::inRange<size_t>(1, 9));
        break;
      default:
        input.insert(at, input.substr(*rc::gen::inRange<size_t>(0, input.size()), 7));
    }
  }
  Feed(input + '\xFF' + text);
}

// Puts `value` in the place of one value of the document, chosen by `at`; counts the values on its
// way.
void ReplaceOne(nlohmann::json& node, int& at, const nlohmann::json& value) {
  if (at-- == 0) {
    node = value;
    return;
  }
  if (!node.is_structured()) return;
  for (auto& child : node) {
    if (at < 0) return;
    ReplaceOne(child, at, value);
  }
}

TEST(Hostile, AnyValueInTheWrongPlaceIsRefusedOrWorks) {
  const std::vector<nlohmann::json> wrong = {nullptr,
                                             true,
                                             -1,
                                             0,
                                             1e300,
                                             4294967296,
                                             18446744073709551615ull,
                                             "",
                                             "A",
                                             "Sequence",
                                             nlohmann::json::array(),
                                             nlohmann::json::object(),
                                             {1, 2},
                                             {{"type", "Sequence"}}};
  for (int which = 0; which < 4; ++which) {
    const int values = which % 2 == 0 ? 90 : 60;
    for (int at = 0; at < values; ++at) {
      for (const nlohmann::json& value : wrong) {
        nlohmann::json document = Document(which);
        int place = at;
        ReplaceOne(document, place, value);
        Feed(document.dump() +
             "\xFF"
             "a\xC3\xA9 b[MASK] \xF0\x9F");
      }
    }
  }
}

}  // namespace
}  // namespace orchard::text
