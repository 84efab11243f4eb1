#include "io/medical/dicom_uid.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/error.h"
#include "base/hash.h"

namespace orchard::io {
namespace {

using Uint128 = unsigned __int128;

std::string Decimal(Uint128 value) {
  std::string digits;
  do {
    digits += static_cast<char>('0' + static_cast<int>(value % 10));
    value /= 10;
  } while (value > 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

}  // namespace

std::string UidMaker::Next() {
  Uint128 value = 0;
  if (derived_) {
    const std::string text = seed_ + '#' + std::to_string(count_++);
    const std::string hex = Sha256Hex(std::as_bytes(std::span(text)));
    for (char c : hex.substr(0, 32))
      value = value << 4 | static_cast<Uint128>(c <= '9' ? c - '0' : c - 'a' + 10);
  } else {
    std::array<unsigned char, 16> bytes{};
    if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
      throw ResourceError("the system gives no random numbers");
    for (unsigned char byte : bytes) value = value << 8 | byte;
  }
  // The version and variant bits of a UUID: 4 (random), 8 (made by its own rule).
  const Uint128 version = derived_ ? 8 : 4;
  value = (value & ~(Uint128{0xF} << 76)) | version << 76;
  value = (value & ~(Uint128{0x3} << 62)) | Uint128{0x2} << 62;
  return "2.25." + Decimal(value);
}

}  // namespace orchard::io
