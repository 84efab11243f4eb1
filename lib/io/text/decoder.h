// Decoders: the spellings of tokens back to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/text/json_fields.h"

namespace orchard::text {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // The parts of the text, in order; the text is their concatenation.
  virtual std::vector<std::string> operator()(std::vector<std::string> tokens) const = 0;
};

// WordPiece, ByteLevel, BPEDecoder, Metaspace, Replace (of a string), ByteFallback, Fuse, Strip,
// Sequence. Throws DataError, ImpossibleError.
std::unique_ptr<Decoder> MakeDecoder(const JsonField& field, int depth = 0);

}  // namespace orchard::text
