// The words of a Graphviz file (the DOT language), one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace orchard::place {

class DotTokens {
 public:
  enum Kind { kEnd, kId, kArrow, kSign };

  // Stands at the first word. Throws DataError naming file and line, as all members do.
  DotTokens(std::string_view text, std::string where);

  Kind kind() const { return kind_; }
  const std::string& text() const { return text_; }  // of an ID, unquoted
  int64_t line() const { return line_; }
  bool Is(char sign) const { return kind_ == kSign && text_[0] == sign; }
  bool IsWord(std::string_view word) const;  // an unquoted ID, in any case of letters

  void Next();
  void Expect(char sign);
  std::string TakeId();

  [[noreturn]] void Fail(const std::string& what) const;

 private:
  void SkipSpace();
  void TakeQuoted();
  void TakeHtml();
  char At(size_t ahead = 0) const;

  std::string_view rest_;
  std::string where_;
  int64_t line_ = 1;
  Kind kind_ = kEnd;
  std::string text_;
  bool quoted_ = false;
  bool line_start_ = true;
};

}  // namespace orchard::place
