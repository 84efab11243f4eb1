// Integers as people write them: 5GB, 512MiB, 1.3B.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cli/fields.h"

namespace orchard::cli {

// What came of reading an integer.
enum class QuantityStatus {
  kGood,
  kNotANumber,  // "12x", or a unit that the scale does not have
  kNotWhole,    // 1.0005KB
  kOutOfRange,  // beyond int64_t
};

// Reads digits, for scales other than kPlain also a decimal point, an exponent and a unit:
//   kBytes  B, KB, MB, GB, TB, PB (powers of 1000), KiB, MiB, GiB, TiB, PiB (powers of 1024)
//   kCount  K, M, B, T (10^3, 10^6, 10^9, 10^12)
// Letters of either case; exact, never through a double.
QuantityStatus ParseQuantity(std::string_view text, Scale scale, int64_t& value);

// The shortest text that `ParseQuantity` reads back as `value`: "5GB", "1.3B", "12345".
std::string FormatQuantity(int64_t value, Scale scale);

}  // namespace orchard::cli
