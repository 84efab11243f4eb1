// Post-processors: the special tokens around one or two encoded texts.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "io/text/encoding.h"
#include "io/text/json_fields.h"

namespace orchard::text {

class PostProcessor {
 public:
  // No special tokens: the second text follows the first, with type 1.
  PostProcessor();

  // TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel (which changes offsets only),
  // or a Sequence of at most one of the first three and ByteLevel. Throws DataError,
  // ImpossibleError.
  static PostProcessor Make(const JsonField& field, int depth = 0);

  // Tokens that Apply adds.
  size_t added(bool pair) const;
  // The largest id among them; -1 when there are none.
  int32_t max_id() const;
  Encoding Apply(std::span<const int32_t> first, std::span<const int32_t> second, bool pair,
                 bool add_special_tokens) const;

 private:
  // One entry of a template: a text (0 or 1), or special tokens.
  struct Item {
    int text;  // -1: special tokens
    std::vector<int32_t> ids;
    int32_t type_id;
  };
  using Template = std::vector<Item>;

  static Template ReadTemplate(const JsonField& list, const JsonField& specials);
  static PostProcessor Bert(int32_t cls, int32_t sep);
  static PostProcessor Roberta(int32_t cls, int32_t sep);

  std::array<Template, 2> templates_;  // single, pair
  std::array<Template, 2> plain_;      // what applies without special tokens
  bool decorates_ = false;             // whether this is more than the default
};

}  // namespace orchard::text
