#include "cli/nearest.h"

#include <algorithm>
#include <vector>

namespace orchard::cli {
namespace {

char Letter(char c) { return c == '_' ? '-' : c; }

}  // namespace

int EditDistance(std::string_view a, std::string_view b) {
  const size_t width = b.size() + 1;
  std::vector<int> table((a.size() + 1) * width);
  const auto at = [&](size_t i, size_t j) -> int& { return table[i * width + j]; };
  for (size_t i = 0; i <= a.size(); ++i) at(i, 0) = static_cast<int>(i);
  for (size_t j = 0; j <= b.size(); ++j) at(0, j) = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const char x = Letter(a[i - 1]), y = Letter(b[j - 1]);
      int best = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (x != y)});
      if (i > 1 && j > 1 && x == Letter(b[j - 2]) && Letter(a[i - 2]) == y) {
        best = std::min(best, at(i - 2, j - 2) + 1);
      }
      at(i, j) = best;
    }
  }
  return at(a.size(), b.size());
}

std::string Nearest(std::string_view typed, std::span<const std::string> names) {
  constexpr size_t kLongest = 256;  // the table is quadratic, and no name is this long
  if (typed.empty() || typed.size() > kLongest) return "";
  std::string nearest;
  int best = std::max<int>(1, static_cast<int>(typed.size()) / 3) + 1;
  for (const std::string& name : names) {
    const int distance = EditDistance(typed, name);
    if (distance < best) {
      best = distance;
      nearest = name;
    }
  }
  if (!nearest.empty()) return nearest;
  constexpr size_t kTelling = 3;  // letters that say something about how a name begins
  if (typed.size() < kTelling) return "";
  for (const std::string& name : names) {
    if (name.starts_with(typed) && (nearest.empty() || name.size() < nearest.size())) {
      nearest = name;
    }
  }
  return nearest;
}

std::string DidYouMean(const std::string& nearest, const std::string& otherwise) {
  return nearest.empty() ? otherwise : "did you mean '" + nearest + "'?";
}

}  // namespace orchard::cli
