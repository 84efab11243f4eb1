// The regular expressions that published byte-level BPE tokenizers cut text with, as hand-written
// matchers: GPT-2's, and the cl100k family (GPT-4, Llama 3, Qwen 2 and 3, OLMo 2). An expression
// that is not known is refused rather than guessed.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace orchard::text {

class SplitPattern {
 public:
  // GPT-2: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  static SplitPattern Gpt2() { return {Kind::kGpt2, 0}; }

  // The matcher of a known expression, compared as a string; nothing for any other.
  static std::optional<SplitPattern> Find(std::string_view expression);

  // End of the match that begins at text[at]. Every position of valid UTF-8 begins a match, of at
  // least one code point.
  size_t MatchEnd(std::string_view text, size_t at) const;

 private:
  enum class Kind { kGpt2, kCl100k };
  SplitPattern(Kind kind, int digits) : kind_(kind), max_digits_(digits) {}
  size_t MatchGpt2(std::string_view text, size_t at) const;
  size_t MatchCl100k(std::string_view text, size_t at) const;

  Kind kind_;
  int max_digits_;  // of one number (kCl100k)
};

}  // namespace orchard::text
