#include "io/text/byte_alphabet.h"

#include "io/text/unicode.h"

namespace orchard::text {

std::optional<std::string> BytesOfToken(std::string_view token) {
  // The alphabet ends below 256 + 68, the number of bytes that are not printable.
  static constexpr auto kByteOf = [] {
    std::array<int16_t, 324> table{};
    for (auto& entry : table) entry = -1;
    for (int b = 0; b < 256; ++b) table[ByteCodePoints()[b]] = static_cast<int16_t>(b);
    return table;
  }();
  std::string bytes;
  for (size_t i = 0; i < token.size();) {
    const CodePoint c = DecodeAt(token, i);
    if (c.value >= kByteOf.size() || kByteOf[c.value] < 0) return std::nullopt;
    bytes += static_cast<char>(kByteOf[c.value]);
    i += c.length;
  }
  return bytes;
}

}  // namespace orchard::text
