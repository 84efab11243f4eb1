// The third stage of a tokenizer: words to token ids.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/text/json_fields.h"

namespace orchard::text {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <class Value>
using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

// Tokens and their ids, as tokenizer.json spells them.
class Vocabulary {
 public:
  Vocabulary() = default;
  explicit Vocabulary(const JsonField& object);  // {"token": id, ...}; throws DataError
  // The first token of an id stays its spelling; a token that is there already keeps its id.
  void Add(const std::string& token, int32_t id);
  std::optional<int32_t> Id(std::string_view token) const;
  const std::string* Token(int32_t id) const;  // nullptr when there is none
  const StringMap<int32_t>& ids() const { return ids_; }
  int32_t end() const { return end_; }  // one past the largest id

 private:
  StringMap<int32_t> ids_;
  std::unordered_map<int32_t, const std::string*> tokens_;
  int32_t end_ = 0;
};

inline constexpr int32_t kMaxTokenId = (1 << 30) - 1;

// What one caller keeps between words: a model that remembers words puts its memory here, so that
// models stay const.
class ModelCache {
 public:
  virtual ~ModelCache() = default;
};

class Model {
 public:
  virtual ~Model() = default;
  virtual std::unique_ptr<ModelCache> NewCache() const { return nullptr; }
  // Appends the ids of `word`, which is not empty. `cache` is one of NewCache() that no other
  // thread uses.
  virtual void Encode(std::string_view word, ModelCache* cache,
                      std::vector<int32_t>& ids) const = 0;
  virtual std::optional<int32_t> unknown() const = 0;
};

// Greedy longest match from the left (Schuster and Nakajima, 2012), as in BERT.
std::unique_ptr<Model> MakeWordPiece(const JsonField& field, const Vocabulary& vocabulary);

// Byte pair encoding (Sennrich et al., 2016). With `byte_level`, words are bytes and the vocabulary
// spells them in GPT-2's printable alphabet; otherwise words are UTF-8 and start as code points.
// The model keeps a reference to `vocabulary`.
std::unique_ptr<Model> MakeBpe(const JsonField& field, const Vocabulary& vocabulary,
                               bool byte_level);

}  // namespace orchard::text
