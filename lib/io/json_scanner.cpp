#include "io/json_scanner.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace orchard::io {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Whether all eight bytes are plain characters of a string: no quote, backslash, control character
// and nothing beyond ASCII.
bool EightPlain(const char* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, 8);
  constexpr uint64_t kOnes = 0x0101010101010101u, kHighs = 0x8080808080808080u;
  const auto has_zero = [](uint64_t x) { return (x - kOnes) & ~x & kHighs; };
  const uint64_t controls = (word - kOnes * 0x20) & ~word & kHighs;
  return ((word & kHighs) | controls | has_zero(word ^ kOnes * '"') |
          has_zero(word ^ kOnes * '\\')) == 0;
}

class Scanner {
 public:
  Scanner(std::string_view text, JsonEvents& events)
      : p_(text.data()), end_(text.data() + text.size()), events_(events) {}

  // One value, and nothing behind it.
  void Run() {
    Value();
    while (!open_.empty()) {
      SkipSpace();
      if (open_.back() == '{' ? NextMember() : NextElement()) Value();
    }
    SkipSpace();
    if (p_ != end_) Fail("something follows the value");
  }

 private:
  [[noreturn]] void Fail(const char* reason) {
    events_.at = p_;
    events_.Invalid(reason);
    std::abort();  // it throws
  }

  void SkipSpace() {
    while (p_ != end_ && IsSpace(*p_)) ++p_;
  }

  char Peek() {
    if (p_ == end_) Fail("unexpected end of input");
    return *p_;
  }

  // Up to the next value of an object; false at its end.
  bool NextMember() {
    if (Peek() == '}') {
      Close();
      events_.EndObject();
      return false;
    }
    Separate();
    if (Peek() != '"') Fail("expected a key in quotes");
    const std::string_view key = Text();
    events_.at = p_;
    events_.Key(key);
    SkipSpace();
    if (Peek() != ':') Fail("expected ':' after a key");
    ++p_;
    return true;
  }

  bool NextElement() {
    if (Peek() == ']') {
      Close();
      events_.EndArray();
      return false;
    }
    Separate();
    return true;
  }

  // The comma before all but the first.
  void Separate() {
    if (first_) {
      first_ = false;
      return;
    }
    if (Peek() != ',') Fail("expected ',' or the closing bracket");
    ++p_;
    SkipSpace();
  }

  void Open(char bracket) {
    if (open_.size() == kMaxJsonDepth) Fail("nests more than 200 deep");
    open_.push_back(bracket);
    ++p_;
    first_ = true;
    events_.at = p_;
  }

  void Close() {
    open_.pop_back();
    ++p_;
    first_ = false;
    events_.at = p_;
  }

  void Value() {
    SkipSpace();
    switch (Peek()) {
      case '{':
        Open('{');
        return events_.StartObject();
      case '[':
        Open('[');
        return events_.StartArray();
      case '"': {
        const std::string_view text = Text();
        events_.at = p_;
        return events_.String(text);
      }
      case 't':
        Literal("true");
        return events_.Boolean(true);
      case 'f':
        Literal("false");
        return events_.Boolean(false);
      case 'n':
        Literal("null");
        return events_.Null();
      default:
        return Number();
    }
  }

  void Literal(std::string_view word) {
    if (std::string_view(p_, static_cast<size_t>(end_ - p_)).substr(0, word.size()) != word) {
      Fail("invalid literal");
    }
    p_ += word.size();
    events_.at = p_;
  }

  void Digits() {
    if (!IsDigit(Peek())) Fail("expected a digit");
    while (p_ != end_ && IsDigit(*p_)) ++p_;
  }

  void Number() {
    const char* begin = p_;
    if (*p_ == '-') {
      ++p_;
    } else if (!IsDigit(*p_)) {
      Fail("expected a value");
    }
    bool whole = *begin != '-';
    if (Peek() == '0') {
      ++p_;
    } else {
      Digits();
    }
    if (p_ != end_ && *p_ == '.') {
      ++p_, whole = false;
      Digits();
    }
    if (p_ != end_ && (*p_ == 'e' || *p_ == 'E')) {
      ++p_, whole = false;
      if (Peek() == '+' || Peek() == '-') ++p_;
      Digits();
    }
    events_.at = p_;
    uint64_t value = 0;
    if (whole && std::from_chars(begin, p_, value).ec == std::errc()) {
      return events_.Unsigned(value);
    }
    const std::string_view text(begin, static_cast<size_t>(p_ - begin));
    if (!whole && !std::isfinite(std::strtod(std::string(text).c_str(), nullptr))) {
      Fail("number overflow");
    }
    events_.OtherNumber(text);
  }

  // A string in quotes: the text itself where nothing in it is escaped, else a copy.
  std::string_view Text() {
    const char* begin = ++p_;
    SkipPlain();
    if (Peek() == '"') return {begin, static_cast<size_t>(p_++ - begin)};
    copy_.assign(begin, p_);
    while (Peek() != '"') {
      Escape();
      begin = p_;
      SkipPlain();
      copy_.append(begin, p_);
    }
    ++p_;
    return copy_;
  }

  // Up to a quote or backslash.
  void SkipPlain() {
    while (true) {
      while (end_ - p_ >= 8 && EightPlain(p_)) p_ += 8;
      const auto c = static_cast<unsigned char>(Peek());
      if (c == '"' || c == '\\') return;
      if (c < 0x20) Fail("control character in a string");
      if (c < 0x80) {
        ++p_;
      } else {
        SkipUtf8(c);
      }
    }
  }

  // One character of several bytes, none overlong, surrogate or beyond U+10FFFF.
  void SkipUtf8(unsigned char lead) {
    const int length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || end_ - p_ < length) Fail("invalid UTF-8");
    for (int i = 1; i < length; ++i) {
      if (!IsContinuation(p_[i])) Fail("invalid UTF-8");
    }
    const auto second = static_cast<unsigned char>(p_[1]);
    const bool bad = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
                     (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F);
    if (bad) Fail("invalid UTF-8");
    p_ += length;
  }

  void Escape() {
    ++p_;
    static constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
    const char name = Peek();
    ++p_;
    if (name == 'u') return AppendUtf8(CodePoint());
    const size_t found = kNames.find(name);
    if (found == kNames.npos) Fail("invalid escape in a string");
    copy_ += kValues[found];
  }

  uint32_t FourHex() {
    uint32_t value = 0;
    if (end_ - p_ < 4 || std::from_chars(p_, p_ + 4, value, 16).ptr != p_ + 4) {
      Fail("\\u is not followed by four hexadecimal digits");
    }
    p_ += 4;
    return value;
  }

  uint32_t CodePoint() {
    const uint32_t high = FourHex();
    if (high >= 0xDC00 && high <= 0xDFFF) Fail("lone low surrogate in a string");
    if (high < 0xD800 || high > 0xDBFF) return high;
    if (end_ - p_ < 2 || p_[0] != '\\' || p_[1] != 'u') Fail("lone high surrogate in a string");
    p_ += 2;
    const uint32_t low = FourHex();
    if (low < 0xDC00 || low > 0xDFFF) Fail("high surrogate without a low surrogate in a string");
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
  }

  void AppendUtf8(uint32_t c) {
    if (c < 0x80) {
      copy_ += static_cast<char>(c);
    } else if (c < 0x800) {
      copy_ += static_cast<char>(0xC0 | c >> 6);
      copy_ += static_cast<char>(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
      copy_ += static_cast<char>(0xE0 | c >> 12);
      copy_ += static_cast<char>(0x80 | (c >> 6 & 0x3F));
      copy_ += static_cast<char>(0x80 | (c & 0x3F));
    } else {
      copy_ += static_cast<char>(0xF0 | c >> 18);
      copy_ += static_cast<char>(0x80 | (c >> 12 & 0x3F));
      copy_ += static_cast<char>(0x80 | (c >> 6 & 0x3F));
      copy_ += static_cast<char>(0x80 | (c & 0x3F));
    }
  }

  const char* p_;
  const char* end_;
  JsonEvents& events_;
  std::vector<char> open_;  // brackets
  bool first_ = true;       // nothing yet in the innermost one
  std::string copy_;
};

}  // namespace

void ScanJson(std::string_view text, JsonEvents& events) {
  events.at = text.data();
  Scanner(text, events).Run();
}

}  // namespace orchard::io
