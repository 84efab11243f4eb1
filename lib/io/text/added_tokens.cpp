#include "io/text/added_tokens.h"

#include <algorithm>

#include "io/text/unicode.h"

namespace orchard::text {
namespace {

// Start of the last code point of `text`, which is not empty.
size_t LastCodePoint(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (text[at] & 0xC0) == 0x80) --at;
  return at;
}

bool EndsWithWord(std::string_view text) {
  return !text.empty() && IsWord(DecodeAt(text, LastCodePoint(text)).value);
}

bool StartsWithWord(std::string_view text) {
  return !text.empty() && IsWord(DecodeAt(text, 0).value);
}

size_t WithoutSpaceAtEnd(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    const size_t at = LastCodePoint(text.substr(0, end));
    if (!IsWhitespace(DecodeAt(text, at).value)) break;
    end = at;
  }
  return end;
}

size_t SpaceAtStart(std::string_view text) {
  size_t end = 0;
  while (end < text.size()) {
    const CodePoint c = DecodeAt(text, end);
    if (!IsWhitespace(c.value)) break;
    end += c.length;
  }
  return end;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalize& normalize)
    : tokens_(std::move(tokens)) {
  // Special tokens win over others with the same spelling.
  for (const bool special : {true, false}) {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      AddedToken& token = tokens_[i];
      if (token.special != special) continue;
      by_id_[token.id] = i;
      token.match = token.normalized ? normalize(token.content) : token.content;
      if (token.match.empty()) continue;
      (token.normalized ? normalized_ : plain_).Insert(token.match, static_cast<int32_t>(i));
      any_[token.normalized] = true;
    }
  }
}

const AddedToken* AddedTokens::Find(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

std::vector<AddedTokens::Segment> AddedTokens::Split(std::string_view text, bool normalized) const {
  std::vector<Segment> segments;
  size_t done = 0;
  const ByteTrie& trie = normalized ? normalized_ : plain_;
  for (size_t at = 0; any_[normalized] && at < text.size();) {
    const ByteTrie::Match match = trie.LongestPrefix(text.substr(at));
    if (match.value < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[match.value];
    size_t begin = at, end = at + match.length;
    at = end;
    if (token.single_word &&
        (EndsWithWord(text.substr(0, begin)) || StartsWithWord(text.substr(end)))) {
      continue;
    }
    if (token.lstrip) begin = std::max(WithoutSpaceAtEnd(text.substr(0, begin)), done);
    if (token.rstrip) end += SpaceAtStart(text.substr(end));
    if (done < begin) segments.emplace_back(text.substr(done, begin - done));
    segments.emplace_back(token.id);
    done = end;
  }
  if (done < text.size()) segments.emplace_back(text.substr(done));
  return segments;
}

}  // namespace orchard::text
