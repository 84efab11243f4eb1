// Tokens that stand outside the model: they are found in the text before anything else is done to
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "io/text/byte_trie.h"

namespace orchard::text {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool special = false;      // left out when decoding without special tokens
  bool normalized = false;   // looked for in the normalised text
  bool single_word = false;  // only where no word character is beside it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  std::string match =
      {};  // what is looked for, and what decoding gives: `content`, normalised where `normalized`
};

class AddedTokens {
 public:
  using Normalize = std::function<std::string(std::string)>;
  // A stretch of text between added tokens, or the id of one.
  using Segment = std::variant<std::string_view, int32_t>;

  AddedTokens() = default;
  AddedTokens(std::vector<AddedToken> tokens, const Normalize& normalize);

  // Cuts `text` at the tokens that are matched as they stand (`normalized` false), or at those
  // matched after normalisation. Leftmost match first, the longest of those; segments of text are
  // not empty.
  std::vector<Segment> Split(std::string_view text, bool normalized) const;

  const AddedToken* Find(int32_t id) const;
  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  ByteTrie plain_, normalized_;  // -> index into tokens_
  bool any_[2] = {false, false};
};

}  // namespace orchard::text
