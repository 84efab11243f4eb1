// Numbers as people read them, the same in every locale.
#pragma once

#include <cstdint>
#include <string>

namespace orchard {

// `digits` significant digits, trailing zeros kept: 0.0120, 3.14, 250. An integer part is shown
// whole up to max(digits, 6) digits; beyond that, and below 1e-4, scientific (1.50e-07). "nan",
// "inf", "-inf" for the rest. digits in [1, 17].
std::string FormatSignificant(double value, int digits);

// The shortest decimal that reads back as the same double: 0.1, 1e-07, 3.
std::string FormatShortest(double value);

// `decimals` digits after the point: FormatFixed(2.5, 2) is "2.50". decimals in [0, 17].
std::string FormatFixed(double value, int decimals);

// Digits in groups of three: 1,234,567.
std::string FormatInteger(int64_t value);

// Three significant digits with a decimal unit: 512 B, 90.9 MB, 8.00 GB.
std::string FormatBytes(uint64_t bytes);

// Three significant digits with k, M, G, T: 999, 22.7 M. For parameters, tokens, FLOPs.
std::string FormatCount(double count);

// 250 ns, 12.3 us, 4.56 ms, 7.89 s, 3 min 05 s, 2 h 07 min, 5 d 03 h. "unknown" when negative or
// not finite.
std::string FormatDuration(double seconds);

}  // namespace orchard
