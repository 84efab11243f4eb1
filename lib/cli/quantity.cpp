#include "cli/quantity.h"

#include <cctype>
#include <charconv>
#include <limits>
#include <span>

namespace orchard::cli {
namespace {

struct Unit {
  const char* name;
  int64_t factor;
};

constexpr int64_t kTera = 1'000'000'000'000;
constexpr Unit kByteUnits[] = {
    {"B", 1},
    {"KB", 1000},
    {"MB", 1'000'000},
    {"GB", 1'000'000'000},
    {"TB", kTera},
    {"PB", 1000 * kTera},
    {"KiB", int64_t{1} << 10},
    {"MiB", int64_t{1} << 20},
    {"GiB", int64_t{1} << 30},
    {"TiB", int64_t{1} << 40},
    {"PiB", int64_t{1} << 50},
};
constexpr Unit kCountUnits[] = {{"K", 1000}, {"M", 1'000'000}, {"B", 1'000'000'000}, {"T", kTera}};

std::span<const Unit> Units(Scale scale) {
  if (scale == Scale::kBytes) return kByteUnits;
  if (scale == Scale::kCount) return kCountUnits;
  return {};
}

bool SameLetters(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(a[i])) !=
        std::tolower(static_cast<unsigned char>(b[i]))) {
      return false;
    }
  }
  return true;
}

QuantityStatus ParsePlain(std::string_view text, int64_t& value) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) {
    return QuantityStatus::kNotANumber;
  }
  return error == std::errc() ? QuantityStatus::kGood : QuantityStatus::kOutOfRange;
}

// A decimal number: digits * 10^exponent.
struct Decimal {
  __int128 digits = 0;
  int exponent = 0;
  bool negative = false;
};

constexpr int kMaxDigits = 19;  // 10^19 times the largest unit still fits into 128 bits

// Takes the number off the front of `text`, leaving the unit. False: there is none, or it has more
// digits than fit.
bool TakeDecimal(std::string_view& text, Decimal& number) {
  if (text.starts_with('-') || text.starts_with('+')) {
    number.negative = text.front() == '-';
    text.remove_prefix(1);
  }
  int count = 0, significant = 0;
  bool point = false;
  for (; !text.empty(); text.remove_prefix(1)) {
    const char c = text.front();
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      ++count;
      if (significant > 0 || c != '0') ++significant;
      if (significant > kMaxDigits) return false;
      number.digits = number.digits * 10 + (c - '0');
      if (point) --number.exponent;
    } else {
      break;
    }
  }
  if (count == 0) return false;
  if (text.size() >= 2 && (text[0] == 'e' || text[0] == 'E')) {
    const char* begin = text.data() + 1 + (text[1] == '+');
    int exponent = 0;
    const auto [end, error] = std::from_chars(begin, text.data() + text.size(), exponent);
    if (error != std::errc() || exponent > 99 || exponent < -99) return false;
    number.exponent += exponent;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
  }
  return true;
}

}  // namespace

QuantityStatus ParseQuantity(std::string_view text, Scale scale, int64_t& value) {
  if (scale == Scale::kPlain) return ParsePlain(text, value);
  Decimal number;
  if (!TakeDecimal(text, number)) return QuantityStatus::kNotANumber;
  while (text.starts_with(' ')) text.remove_prefix(1);
  int64_t factor = text.empty() ? 1 : 0;
  for (const Unit& unit : Units(scale)) {
    if (SameLetters(text, unit.name)) factor = unit.factor;
  }
  if (factor == 0) return QuantityStatus::kNotANumber;
  __int128 result = number.digits * factor;
  for (; number.exponent < 0 && result != 0; ++number.exponent) {
    if (result % 10 != 0) return QuantityStatus::kNotWhole;
    result /= 10;
  }
  constexpr __int128 kMax = std::numeric_limits<int64_t>::max();
  for (; number.exponent > 0 && result <= kMax; --number.exponent) result *= 10;
  if (result > kMax) return QuantityStatus::kOutOfRange;
  value = static_cast<int64_t>(number.negative ? -result : result);
  return QuantityStatus::kGood;
}

std::string FormatQuantity(int64_t value, Scale scale) {
  std::string shortest = std::to_string(value);
  if (value <= 0) return shortest;
  for (const Unit& unit : Units(scale)) {
    if (value < unit.factor || unit.factor == 1) continue;
    const __int128 thousandths = static_cast<__int128>(value) * 1000;
    if (thousandths % unit.factor != 0) continue;
    const auto scaled = static_cast<int64_t>(thousandths / unit.factor);
    std::string text = std::to_string(scaled / 1000);
    if (scaled % 1000 != 0) {
      text += "." + std::to_string(1000 + scaled % 1000).substr(1);
      while (text.back() == '0') text.pop_back();
    }
    text += unit.name;
    if (text.size() < shortest.size()) shortest = text;
  }
  return shortest;
}

}  // namespace orchard::cli
