#include "sync/agreement.h"

#include <algorithm>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

namespace orchard::sync {
namespace {

constexpr const char* kNothing = "nothing";
constexpr size_t kShown = 60;  // characters of a value in a message

std::string Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1));
}

using Entries = std::vector<std::pair<std::string, std::string>>;

Entries Parse(const std::string& text) {
  Entries entries;
  std::istringstream lines(text);
  std::string section;
  for (std::string line; std::getline(lines, line);) {
    line = Trimmed(line);
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == '[' && line.back() == ']') {
      section = line.substr(1, line.size() - 2);
      if (!section.empty()) section += ".";
      continue;
    }
    const size_t equals = line.find('=');
    const std::string key = section + Trimmed(line.substr(0, equals));
    entries.emplace_back(key, equals == std::string::npos ? "" : Trimmed(line.substr(equals + 1)));
  }
  return entries;
}

std::string ValueOf(const Entries& entries, const std::string& key) {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const auto& entry) { return entry.first == key; });
  return found == entries.end() ? kNothing : found->second;
}

std::string Shown(std::string value) {
  if (value.size() > kShown) value = value.substr(0, kShown - 3) + "...";
  return value;
}

}  // namespace

std::optional<Disagreement> FirstDisagreement(const std::string& first, const std::string& other) {
  const Entries a = Parse(first), b = Parse(other);
  for (const Entries* entries : {&a, &b}) {
    for (const auto& [key, value] : *entries) {
      const std::string in_first = ValueOf(a, key), in_other = ValueOf(b, key);
      if (in_first != in_other) return Disagreement{key, Shown(in_first), Shown(in_other)};
    }
  }
  return std::nullopt;
}

}  // namespace orchard::sync
