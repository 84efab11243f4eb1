// Normalisers: the first stage of a tokenizer, text to text.
#pragma once

#include <memory>
#include <string>

#include "io/text/json_fields.h"

namespace orchard::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // `text` is valid UTF-8, and so is the result.
  virtual std::string operator()(std::string text) const = 0;
};

// BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, Replace (of a
// string), Sequence. Throws DataError for a damaged description, ImpossibleError for another type.
std::unique_ptr<Normalizer> MakeNormalizer(const JsonField& field, int depth = 0);

}  // namespace orchard::text
