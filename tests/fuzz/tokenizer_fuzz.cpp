// Fuzzes the reader of tokenizer.json and the encoder: the input is a document and, after a byte
// 0xFF (which no JSON text holds), a text of any bytes. A document may be refused; one that is
// accepted must encode and decode anything.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "io/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = input.find('\xFF');
  const std::string_view text =
      cut == std::string_view::npos ? std::string_view("a\xC3\xA9 b") : input.substr(cut + 1);
  try {
    const auto tokenizer = orchard::text::Tokenizer::FromJson(input.substr(0, cut));
    const orchard::text::Encoding encoding = tokenizer.EncodePair(text, "b");
    for (const int32_t id : encoding.ids) {
      if (id < 0 || id >= tokenizer.vocabulary_size()) std::abort();
    }
    tokenizer.Decode(encoding.ids, false);
  } catch (const orchard::Error&) {
    // refused in words, as it should be
  }
  return 0;
}
