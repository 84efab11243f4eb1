#include "base/number_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <span>

namespace orchard {
namespace {

std::string NonFinite(double value) {
  if (std::isnan(value)) return "nan";
  return value > 0 ? "inf" : "-inf";
}

// std::to_chars knows no locale; 400 characters hold the largest double in fixed notation.
template <class... Arguments>
std::string Convert(double value, Arguments... arguments) {
  std::array<char, 400> buffer;
  const auto end = std::to_chars(buffer.begin(), buffer.end(), value, arguments...);
  return std::string(buffer.begin(), end.ptr);
}

// The decimal exponent of `value` after rounding to `digits` significant digits: 9.996 with three
// digits has exponent 1.
int RoundedExponent(double value, int digits) {
  const std::string text = Convert(value, std::chars_format::scientific, digits - 1);
  return std::atoi(text.c_str() + text.find('e') + 1);
}

// Three significant digits of value / 1000^i with the i-th unit, the smallest that leaves at most
// three integer digits.
std::string WithUnit(double value, std::span<const char* const> units, bool whole) {
  size_t i = 0;
  double scaled = value;
  while (i + 1 < units.size() && std::abs(scaled) > 0 && RoundedExponent(scaled, 3) >= 3) {
    scaled /= 1000;
    ++i;
  }
  std::string text = i == 0 && whole ? FormatFixed(scaled, 0) : FormatSignificant(scaled, 3);
  if (*units[i] != '\0') text += std::string(" ") + units[i];
  return text;
}

std::string TwoParts(int64_t high, const char* high_unit, int64_t low, const char* low_unit) {
  const std::string low_text = std::to_string(low);
  return std::to_string(high) + " " + high_unit + " " + (low < 10 ? "0" : "") + low_text + " " +
         low_unit;
}

}  // namespace

std::string FormatSignificant(double value, int digits) {
  if (!std::isfinite(value)) return NonFinite(value);
  if (value == 0) return FormatFixed(0, digits - 1);
  const int exponent = RoundedExponent(value, digits);
  if (exponent < -4 || exponent >= std::max(digits, 6)) {
    return Convert(value, std::chars_format::scientific, digits - 1);
  }
  return Convert(value, std::chars_format::fixed, std::max(0, digits - 1 - exponent));
}

std::string FormatShortest(double value) {
  return std::isfinite(value) ? Convert(value) : NonFinite(value);
}

std::string FormatFixed(double value, int decimals) {
  return std::isfinite(value) ? Convert(value, std::chars_format::fixed, decimals)
                              : NonFinite(value);
}

std::string FormatInteger(int64_t value) {
  std::string text = std::to_string(value);
  const size_t first = value < 0 ? 1 : 0;
  for (size_t at = text.size(); at > first + 3;) {
    at -= 3;
    text.insert(at, 1, ',');
  }
  return text;
}

std::string FormatBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  return WithUnit(static_cast<double>(bytes), kUnits, true);
}

std::string FormatCount(double count) {
  static constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P", "E"};
  if (!std::isfinite(count)) return NonFinite(count);
  return WithUnit(count, kUnits, count == std::floor(count));
}

std::string FormatDuration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "unknown";
  if (seconds == 0) return "0 s";
  // Each bound is where rounding would show the next unit's first value.
  if (seconds < 999.5e-9) return FormatSignificant(seconds * 1e9, 3) + " ns";
  if (seconds < 999.5e-6) return FormatSignificant(seconds * 1e6, 3) + " us";
  if (seconds < 999.5e-3) return FormatSignificant(seconds * 1e3, 3) + " ms";
  if (seconds < 59.95) return FormatSignificant(seconds, 3) + " s";
  if (seconds < 3599.5) {
    const int64_t whole = std::llround(seconds);
    return TwoParts(whole / 60, "min", whole % 60, "s");
  }
  if (seconds < 86370) {
    const int64_t minutes = std::llround(seconds / 60);
    return TwoParts(minutes / 60, "h", minutes % 60, "min");
  }
  const int64_t hours = std::llround(seconds / 3600);
  return TwoParts(hours / 24, "d", hours % 24, "h");
}

}  // namespace orchard
