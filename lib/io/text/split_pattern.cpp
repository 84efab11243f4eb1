#include "io/text/split_pattern.h"

#include "io/text/unicode.h"

namespace orchard::text {
namespace {

constexpr size_t kNoMatch = std::string_view::npos;

enum class Class { kSpace, kLetter, kNumber, kOther };

struct Unit {
  uint32_t value;
  size_t end;  // where the next code point begins
  Class type;
};

Unit UnitAt(std::string_view text, size_t at) {
  const CodePoint c = DecodeAt(text, at);
  Unit unit{c.value, at + c.length, Class::kOther};
  if (IsWhitespace(c.value)) {
    unit.type = Class::kSpace;
  } else {
    const char major = MajorCategory(c.value);
    if (major == 'L') unit.type = Class::kLetter;
    if (major == 'N') unit.type = Class::kNumber;
  }
  return unit;
}

// End of the run of `type` that begins at `at`, at most `limit` code points long.
size_t RunEnd(std::string_view text, size_t at, Class type, int limit = -1) {
  while (at < text.size() && limit-- != 0) {
    const Unit unit = UnitAt(text, at);
    if (unit.type != type) break;
    at = unit.end;
  }
  return at;
}

// 's 't 'm 'd 're 've 'll; with `fold` in any case, where U+017F is an s.
size_t Contraction(std::string_view text, size_t at, bool fold) {
  if (text[at] != '\'' || at + 1 >= text.size()) return kNoMatch;
  const auto letter = [&](size_t i) -> char {
    if (i >= text.size()) return 0;
    return fold && text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + 32) : text[i];
  };
  const char first = letter(at + 1), second = letter(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  if ((first == 'r' || first == 'v') && second == 'e') return at + 3;
  if (first == 'l' && second == 'l') return at + 3;
  if (fold && text.substr(at + 1, 2) == "\u017F") return at + 3;
  return kNoMatch;
}

// \s+(?!\S)|\s+ : white space up to the one before a word, or all of it.
size_t SpaceEnd(std::string_view text, size_t at) {
  size_t end = at, before_last = at;
  while (end < text.size()) {
    const Unit unit = UnitAt(text, end);
    if (unit.type != Class::kSpace) break;
    before_last = end;
    end = unit.end;
  }
  return end == text.size() || before_last == at ? end : before_last;
}

bool IsNewline(uint32_t c) { return c == '\r' || c == '\n'; }

// \s*[\r\n]+ : white space up to its last line break.
size_t LineBreakEnd(std::string_view text, size_t at) {
  size_t end = kNoMatch;
  while (at < text.size()) {
    const Unit unit = UnitAt(text, at);
    if (unit.type != Class::kSpace) break;
    at = unit.end;
    if (IsNewline(unit.value)) end = at;
  }
  return end;
}

}  // namespace

std::optional<SplitPattern> SplitPattern::Find(std::string_view expression) {
  // The last alternatives differ in possessive marks and in [\r\n] against [\r\n]+, which match the
  // same strings: after a greedy \s* only the last line break is left.
  struct Known {
    const char* expression;
    SplitPattern pattern;
  };
  static const Known known[] = {
      {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", Gpt2()},
      {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", Gpt2()},
      {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       {Kind::kCl100k, 3}},
      {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       {Kind::kCl100k, 1}},
      {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
       {Kind::kCl100k, 3}},
  };
  for (const Known& entry : known) {
    if (expression == entry.expression) return entry.pattern;
  }
  return std::nullopt;
}

size_t SplitPattern::MatchEnd(std::string_view text, size_t at) const {
  return kind_ == Kind::kGpt2 ? MatchGpt2(text, at) : MatchCl100k(text, at);
}

size_t SplitPattern::MatchGpt2(std::string_view text, size_t at) const {
  if (const size_t end = Contraction(text, at, false); end != kNoMatch) return end;
  const Unit first = UnitAt(text, at);
  if (first.type != Class::kSpace) return RunEnd(text, at, first.type);
  if (first.value == ' ' && first.end < text.size()) {
    const Unit second = UnitAt(text, first.end);
    if (second.type != Class::kSpace) return RunEnd(text, first.end, second.type);
  }
  return SpaceEnd(text, at);
}

size_t SplitPattern::MatchCl100k(std::string_view text, size_t at) const {
  if (const size_t end = Contraction(text, at, true); end != kNoMatch) return end;
  const Unit first = UnitAt(text, at);
  if (first.type == Class::kLetter) return RunEnd(text, at, Class::kLetter);
  if (first.type == Class::kNumber) return RunEnd(text, at, Class::kNumber, max_digits_);
  // [^\r\n\p{L}\p{N}]?\p{L}+
  if (!IsNewline(first.value) && first.end < text.size() &&
      UnitAt(text, first.end).type == Class::kLetter) {
    return RunEnd(text, first.end, Class::kLetter);
  }
  //  ?[^\s\p{L}\p{N}]+[\r\n]*
  const size_t start = first.value == ' ' ? first.end : at;
  size_t end = RunEnd(text, start, Class::kOther);
  if (end > start) {
    while (end < text.size() && IsNewline(static_cast<unsigned char>(text[end]))) ++end;
    return end;
  }
  if (const size_t line = LineBreakEnd(text, at); line != kNoMatch) return line;
  return SpaceEnd(text, at);
}

}  // namespace orchard::text
