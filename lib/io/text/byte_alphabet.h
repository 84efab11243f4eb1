// GPT-2's alphabet of bytes: each byte as a printable code point, so that a vocabulary can spell
// any byte string in JSON.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace orchard::text {

// The code point of each byte: itself where Latin-1 prints it, else 256 and up in order.
constexpr std::array<uint32_t, 256> ByteCodePoints() {
  std::array<uint32_t, 256> table{};
  uint32_t next = 256;
  for (uint32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    table[b] = printable ? b : next++;
  }
  return table;
}

// The bytes that `token` spells; nothing when a code point is outside the alphabet.
std::optional<std::string> BytesOfToken(std::string_view token);

}  // namespace orchard::text
