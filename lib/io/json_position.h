// A forward iterator over JSON text that reports how far nlohmann's parser has come, so that errors
// found inside its callbacks can name a place.
#pragma once

#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>

namespace orchard::io {

class JsonPosition {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  JsonPosition(const char* at, const char** mirror) : at_(at), mirror_(mirror) {}
  const char& operator*() const { return *at_; }
  JsonPosition& operator++() {
    *mirror_ = ++at_;
    return *this;
  }
  JsonPosition operator++(int) {
    JsonPosition old = *this;
    ++*this;
    return old;
  }
  bool operator==(const JsonPosition& other) const { return at_ == other.at_; }
  bool operator!=(const JsonPosition& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** mirror_;
};

// The reason inside the text of a nlohmann exception, without its number and position.
std::string JsonReason(std::string_view what);

}  // namespace orchard::io
