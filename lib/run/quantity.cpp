#include "run/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <utility>

namespace orchard::run {
namespace {

std::string_view WithoutSpaces(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Three digits and no more follow a comma that groups.
bool GroupsThousands(std::string_view rest) {
  size_t digits = 0;
  while (digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9') ++digits;
  return digits == 3;
}

// Takes a number off the front of `text`. Commas group digits by three.
std::optional<double> TakeNumber(std::string_view& text) {
  std::string digits;
  size_t end = 0;
  for (; end < text.size(); ++end) {
    const char c = text[end];
    const bool exponent = (c == 'e' || c == 'E') && end + 1 < text.size() &&
                          std::string_view("+-0123456789").find(text[end + 1]) != text.npos;
    const bool sign = (c == '+' || c == '-') && (end == 0 || (text[end - 1] | 32) == 'e');
    if (c == ',' && GroupsThousands(text.substr(end + 1))) continue;
    if (!exponent && !sign && c != '.' && (c < '0' || c > '9')) break;
    if (!(c == '+' && end == 0)) digits += c;
  }
  double value = 0;
  const char* last = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), last, value);
  if (digits.empty() || parsed.ec != std::errc() || parsed.ptr != last) return std::nullopt;
  text.remove_prefix(end);
  return value;
}

std::optional<double> TimeFactor(std::string_view unit) {
  static constexpr std::array<std::pair<std::string_view, double>, 9> kUnits = {
      {{"ns", 1e-9},
       {"us", 1e-6},
       {"\xC2\xB5s", 1e-6},
       {"ms", 1e-3},
       {"s", 1},
       {"min", 60},
       {"h", 3600},
       {"d", 86400},
       {"days", 86400}}};
  const auto* found = std::find_if(kUnits.begin(), kUnits.end(),
                                   [&](const auto& entry) { return entry.first == unit; });
  if (found == kUnits.end()) return std::nullopt;
  return found->second;
}

bool IsBaseUnit(std::string_view unit) {
  static constexpr std::array<std::string_view, 14> kUnits = {
      "",  "B",    "B/s",   "bit",    "bit/s", "b/s", "Hz",
      "W", "FLOP", "FLOPs", "FLOP/s", "FLOPS", "%",   "x"};
  return std::find(kUnits.begin(), kUnits.end(), unit) != kUnits.end() || unit == "\xC3\x97";
}

std::optional<double> Factor(std::string_view unit) {
  if (IsBaseUnit(unit)) return 1;
  if (const auto time = TimeFactor(unit)) return time;
  static constexpr std::string_view kPrefixes = "kMGTPE";
  const char first = unit.front() == 'K' ? 'k' : unit.front();
  const size_t power = kPrefixes.find(first);
  if (power == kPrefixes.npos) return std::nullopt;
  unit.remove_prefix(1);
  const bool binary = unit.starts_with('i');
  if (binary) unit.remove_prefix(1);
  if (!IsBaseUnit(unit) || (binary && unit.empty())) return std::nullopt;
  double factor = 1;
  for (size_t i = 0; i <= power; ++i) factor *= binary ? 1024 : 1000;
  return factor;
}

}  // namespace

std::optional<double> ParseQuantity(std::string_view text) {
  text = WithoutSpaces(text);
  double sum = 0;
  for (bool first = true; first || !text.empty(); first = false) {
    const auto number = TakeNumber(text);
    if (!number) return std::nullopt;
    text = WithoutSpaces(text);
    const std::string_view unit = text.substr(0, text.find(' '));
    // Only times come in several parts.
    if ((!first || unit.size() < text.size()) && !TimeFactor(unit)) return std::nullopt;
    const auto factor = Factor(unit);
    if (!factor) return std::nullopt;
    sum += *number * *factor;
    text = WithoutSpaces(text.substr(unit.size()));
  }
  return sum;
}

}  // namespace orchard::run
