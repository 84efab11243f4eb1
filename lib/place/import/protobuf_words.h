// The words of a protocol buffer in text format, one at a time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace orchard::place {

class ProtobufWords {
 public:
  enum Kind { kEnd, kName, kNumber, kString, kSign };

  // Stands at the first word. Throws DataError naming file, line and column, as all members do.
  ProtobufWords(std::string_view text, std::string file);

  Kind kind() const { return kind_; }
  std::string_view text() const { return text_; }  // as it stands there, with quotes
  const char* begin() const { return text_.data(); }
  bool Is(char sign) const { return kind_ == kSign && text_[0] == sign; }

  void Next();
  bool Take(char sign);    // moves on where the sign stands here
  void Expect(char sign);  // fails where it does not
  // One text or several in a row, without quotes and escapes.
  std::string TakeString();
  // Moves behind one value that has no fields.
  void SkipScalar();

  // `at` defaults to the current word.
  [[noreturn]] void Fail(const std::string& what, const char* at = nullptr) const;
  // Fails with "`wanted` is expected, not ...".
  [[noreturn]] void FailExpected(std::string_view wanted) const;

 private:
  void SkipSpace();
  size_t StringLength() const;
  void AppendUnescaped(std::string& out) const;

  std::string_view whole_, rest_, text_;
  std::string file_;
  Kind kind_ = kEnd;
};

}  // namespace orchard::place
