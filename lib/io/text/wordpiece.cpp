#include <algorithm>

#include "io/text/byte_trie.h"
#include "io/text/model.h"

namespace orchard::text {
namespace {

class WordPiece : public Model {
 public:
  WordPiece(const JsonField& field, const Vocabulary& vocabulary)
      : max_characters_(field.Integer("max_input_chars_per_word", 0, INT32_MAX, 100)) {
    const std::string name = field.String("unk_token", "[UNK]");
    const std::optional<int32_t> id = vocabulary.Id(name);
    if (!id) field.Fail("the unknown token \"" + name + "\" is not in the vocabulary");
    unknown_ = *id;
    const std::string prefix = field.String("continuing_subword_prefix", "##");
    for (const auto& [token, value] : vocabulary.ids()) {
      if (!token.empty()) start_.Insert(token, value);
      if (token.size() > prefix.size() && token.starts_with(prefix)) {
        inside_.Insert(std::string_view(token).substr(prefix.size()), value);
      }
    }
  }

  void Encode(std::string_view word, ModelCache*, std::vector<int32_t>& ids) const override {
    const auto characters =
        std::count_if(word.begin(), word.end(), [](char c) { return (c & 0xC0) != 0x80; });
    const size_t before = ids.size();
    bool known = characters <= max_characters_;
    for (size_t at = 0; known && at < word.size();) {
      const ByteTrie::Match piece = (at == 0 ? start_ : inside_).LongestPrefix(word.substr(at));
      known = piece.value >= 0;
      if (known) ids.push_back(piece.value);
      at += piece.length;
    }
    if (!known) {
      ids.resize(before);
      ids.push_back(unknown_);
    }
  }

  std::optional<int32_t> unknown() const override { return unknown_; }

 private:
  int64_t max_characters_;
  int32_t unknown_ = 0;
  ByteTrie start_, inside_;  // pieces at the start of a word; the others, without their prefix
};

}  // namespace

std::unique_ptr<Model> MakeWordPiece(const JsonField& field, const Vocabulary& vocabulary) {
  return std::make_unique<WordPiece>(field, vocabulary);
}

}  // namespace orchard::text
