#include "place/import/dot_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::place {
namespace {

// Letters, digits, the underscore and all beyond ASCII; numbers with point and sign, too.
bool InWord(char c) {
  const auto u = static_cast<unsigned char>(c);
  return std::isalnum(u) || c == '_' || c == '.' || u >= 0x80;
}

}  // namespace

DotTokens::DotTokens(std::string_view text, std::string where)
    : rest_(text), where_(std::move(where)) {
  if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
  Next();
}

void DotTokens::Fail(const std::string& what) const {
  throw DataError(what, fmt::format("{}:{}", where_, line_));
}

char DotTokens::At(size_t ahead) const { return ahead < rest_.size() ? rest_[ahead] : '\0'; }

bool DotTokens::IsWord(std::string_view word) const {
  return kind_ == kId && !quoted_ && text_.size() == word.size() &&
         std::equal(word.begin(), word.end(), text_.begin(), [](char a, char b) {
           return a == std::tolower(static_cast<unsigned char>(b));
         });
}

void DotTokens::SkipSpace() {
  while (!rest_.empty()) {
    const char c = rest_[0];
    size_t skipped = 1;
    if (c == '\n') {
      ++line_;
      line_start_ = true;
    } else if ((c == '/' && At(1) == '/') || (c == '#' && line_start_)) {
      skipped = std::min(rest_.find('\n'), rest_.size());
    } else if (c == '/' && At(1) == '*') {
      const size_t end = rest_.find("*/", 2);
      if (end == rest_.npos) Fail("a comment does not end");
      skipped = end + 2;
      line_ += std::count(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(end), '\n');
    } else if (c != ' ' && c != '\t' && c != '\r') {
      return;
    }
    rest_.remove_prefix(skipped);
  }
}

void DotTokens::TakeQuoted() {
  for (size_t i = 1; i < rest_.size(); ++i) {
    const char c = rest_[i];
    if (c == '"') {
      rest_.remove_prefix(i + 1);
      return;
    }
    if (c == '\n') ++line_;
    if (c == '\\' && (At(i + 1) == '"' || At(i + 1) == '\\')) {
      text_ += rest_[++i];
    } else {
      text_ += c;
    }
  }
  Fail("a quoted text does not end");
}

void DotTokens::TakeHtml() {
  int64_t depth = 0;
  for (size_t i = 0; i < rest_.size(); ++i) {
    const char c = rest_[i];
    if (c == '\n') ++line_;
    depth += c == '<' ? 1 : c == '>' ? -1 : 0;
    text_ += c;
    if (depth > 0) continue;
    rest_.remove_prefix(i + 1);
    return;
  }
  Fail("an HTML text does not end");
}

void DotTokens::Next() {
  SkipSpace();
  text_.clear();
  quoted_ = false;
  line_start_ = false;
  if (rest_.empty()) {
    kind_ = kEnd;
    return;
  }
  const char c = rest_[0];
  kind_ = kId;
  if (c == '"') {
    quoted_ = true;
    TakeQuoted();
  } else if (c == '<') {
    quoted_ = true;
    TakeHtml();
  } else if (c == '-' && At(1) == '>') {
    kind_ = kArrow;
    rest_.remove_prefix(2);
  } else if (c == '-' && At(1) == '-') {
    Fail("an edge without direction");
  } else if (InWord(c) || c == '-') {
    size_t length = 1;
    const auto in_number = [&](size_t i) {  // "1e-5", "1e+5"
      return (At(i) == '-' || At(i) == '+') && (At(i - 1) == 'e' || At(i - 1) == 'E') &&
             (std::isdigit(static_cast<unsigned char>(c)) || c == '-' || c == '.') &&
             std::isdigit(static_cast<unsigned char>(At(i + 1)));
    };
    while (length < rest_.size() && (InWord(rest_[length]) || in_number(length))) ++length;
    text_ = rest_.substr(0, length);
    rest_.remove_prefix(length);
  } else if (std::string_view("{}[]=;,:").find(c) != std::string_view::npos) {
    kind_ = kSign;
    text_ = c;
    rest_.remove_prefix(1);
  } else {
    Fail("the character " + io::Quoted(std::string(1, c)) + " does not belong here");
  }
}

void DotTokens::Expect(char sign) {
  if (!Is(sign)) {
    Fail(fmt::format("'{}' is expected, not {}", sign,
                     kind_ == kEnd ? std::string("the end") : io::Quoted(text_)));
  }
  Next();
}

std::string DotTokens::TakeId() {
  if (kind_ != kId) {
    Fail(fmt::format("a name is expected, not {}",
                     kind_ == kEnd ? std::string("the end") : io::Quoted(text_)));
  }
  std::string id = text_;
  Next();
  return id;
}

}  // namespace orchard::place
