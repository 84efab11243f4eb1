#include "place/import/protobuf_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::place {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// The value of a digit in bases up to 16; 16 for anything else.
uint32_t DigitValue(char c) {
  if (IsDigit(c)) return static_cast<uint32_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint32_t>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<uint32_t>(c - 'A') + 10;
  return 16;
}

void AppendUtf8(uint32_t code, std::string& out) {
  const auto tail = [&](uint32_t shift) {
    out += static_cast<char>(0x80 | (code >> shift & 0x3F));
  };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace

ProtobufWords::ProtobufWords(std::string_view text, std::string file)
    : whole_(text), rest_(text), file_(std::move(file)) {
  if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
  Next();
}

void ProtobufWords::Fail(const std::string& what, const char* at) const {
  const std::string_view before =
      whole_.substr(0, static_cast<size_t>((at ? at : text_.data()) - whole_.data()));
  const size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
  throw DataError(what, fmt::format("{}:{}:{}", file_, 1 + std::ranges::count(before, '\n'),
                                    before.size() - line_begin + 1));
}

void ProtobufWords::FailExpected(std::string_view wanted) const {
  Fail(fmt::format("{} is expected, not {}", wanted,
                   kind_ == kEnd ? std::string("the end") : io::Quoted(text_)));
}

void ProtobufWords::SkipSpace() {
  while (!rest_.empty()) {
    const char c = rest_[0];
    if (c == '#')
      rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
    else if (c == ' ' || (c >= '\t' && c <= '\r'))
      rest_.remove_prefix(1);
    else
      return;
  }
}

// Of the quoted text that `rest_` begins with, with both quotes.
size_t ProtobufWords::StringLength() const {
  for (size_t i = 1; i < rest_.size() && rest_[i] != '\n'; ++i) {
    if (rest_[i] == rest_[0]) return i + 1;
    if (rest_[i] == '\\') ++i;
  }
  Fail("a text does not end", rest_.data());
}

void ProtobufWords::Next() {
  SkipSpace();
  text_ = rest_.substr(0, 0);
  if (rest_.empty()) {
    kind_ = kEnd;
    return;
  }
  const char c = rest_[0];
  size_t length = 1;
  const auto at = [&](size_t i) { return i < rest_.size() ? rest_[i] : '\0'; };
  if (c == '"' || c == '\'') {
    kind_ = kString;
    length = StringLength();
  } else if (IsLetter(c)) {
    kind_ = kName;
    while (IsLetter(at(length)) || IsDigit(at(length))) ++length;
  } else if (IsDigit(c) || (c == '.' && IsDigit(at(1)))) {
    kind_ = kNumber;
    const bool hexadecimal = c == '0' && (at(1) == 'x' || at(1) == 'X');
    const auto exponent_sign = [&](size_t i) {
      return !hexadecimal && (at(i) == '+' || at(i) == '-') &&
             (at(i - 1) == 'e' || at(i - 1) == 'E');
    };
    while (IsLetter(at(length)) || IsDigit(at(length)) || at(length) == '.' ||
           exponent_sign(length))
      ++length;
  } else if (std::string_view("{}<>[]:;,-/.").find(c) != std::string_view::npos) {
    kind_ = kSign;
  } else {
    Fail("the character " + io::Quoted(rest_.substr(0, 1)) + " does not belong here", rest_.data());
  }
  text_ = rest_.substr(0, length);
  rest_.remove_prefix(length);
}

bool ProtobufWords::Take(char sign) {
  if (!Is(sign)) return false;
  Next();
  return true;
}

void ProtobufWords::Expect(char sign) {
  if (!Take(sign)) FailExpected(fmt::format("'{}'", sign));
}

void ProtobufWords::AppendUnescaped(std::string& out) const {
  const std::string_view inside = text_.substr(1, text_.size() - 2);
  size_t i = 0;
  // A number of at most `most` digits at i, which moves behind it.
  const auto number = [&](uint32_t base, size_t most) {
    uint32_t value = 0;
    size_t digits = 0;
    for (; digits < most && i < inside.size() && DigitValue(inside[i]) < base; ++i, ++digits)
      value = value * base + DigitValue(inside[i]);
    if (digits == 0) Fail("an escape without digits", inside.data() + i);
    return value;
  };
  while (i < inside.size()) {
    const char c = inside[i++];
    if (c != '\\') {
      out += c;
      continue;
    }
    constexpr std::string_view kNames = "abfnrtv\\'\"?", kMeanings = "\a\b\f\n\r\t\v\\'\"?";
    const char* begin = inside.data() + i - 1;
    const char name = inside[i++];  // the text does not end in a single backslash
    if (const size_t known = kNames.find(name); known != kNames.npos) {
      out += kMeanings[known];
    } else if (name >= '0' && name <= '7') {
      --i;
      const uint32_t byte = number(8, 3);
      if (byte > 0xFF) Fail("an octal escape beyond 377", begin);
      out += static_cast<char>(byte);
    } else if (name == 'x' || name == 'X') {
      out += static_cast<char>(number(16, 2));
    } else if (name == 'u' || name == 'U') {
      const size_t digits = name == 'u' ? 4 : 8;
      const size_t from = i;
      const uint32_t code = number(16, digits);
      if (i - from != digits || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        Fail("no Unicode character", begin);
      AppendUtf8(code, out);
    } else {
      Fail("an unknown escape", begin);
    }
  }
}

std::string ProtobufWords::TakeString() {
  if (kind_ != kString) FailExpected("a text");
  std::string out;
  for (; kind_ == kString; Next()) AppendUnescaped(out);
  return out;
}

void ProtobufWords::SkipScalar() {
  if (kind_ == kString) {
    while (kind_ == kString) Next();
    return;
  }
  Take('-');
  if (kind_ != kName && kind_ != kNumber) FailExpected("a value");
  Next();
}

}  // namespace orchard::place
