// "did you mean ...?": the name that a misspelt one was probably meant to be.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace orchard::cli {

// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal
// string alignment). '-' and '_' count as the same letter.
int EditDistance(std::string_view a, std::string_view b);

// The name closest to `typed`, or empty when none is close: more than a third of the letters differ
// and `typed` is not the beginning of a name.
std::string Nearest(std::string_view typed, std::span<const std::string> names);

// "did you mean 'NAME'?" for `Nearest`, or `otherwise`.
std::string DidYouMean(const std::string& nearest, const std::string& otherwise = "");

}  // namespace orchard::cli
