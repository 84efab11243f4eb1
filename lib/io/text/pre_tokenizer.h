// Pre-tokenizers: the second stage, which cuts normalised text into the words that a model sees.
#pragma once

#include <memory>

#include "io/text/json_fields.h"
#include "io/text/pieces.h"

namespace orchard::text {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual Pieces operator()(Pieces pieces) const = 0;
  // Whether the words go to the model as bytes (GPT-2's printable alphabet stays an affair of the
  // vocabulary).
  virtual bool byte_level() const { return false; }
};

// BertPreTokenizer, ByteLevel, Split (a string or a known expression), Whitespace, WhitespaceSplit,
// Punctuation, Digits, Sequence. Throws DataError for a damaged description, ImpossibleError for
// another type or an unknown expression.
std::unique_ptr<PreTokenizer> MakePreTokenizer(const JsonField& field, int depth = 0);

}  // namespace orchard::text
