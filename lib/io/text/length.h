// Truncation and padding as tokenizer.json describes them.
#pragma once

#include <cstdint>
#include <vector>

#include "io/text/encoding.h"
#include "io/text/json_fields.h"

namespace orchard::text {

class Truncation {
 public:
  explicit Truncation(const JsonField& field);
  // Shortens the longer text at its end.
  explicit Truncation(size_t max_length)
      : max_length_(max_length), strategy_(Strategy::kLongestFirst), left_(false) {}
  // Shortens the texts so that they and `added` special tokens fit. Throws ImpossibleError where
  // the strategy cannot.
  void Apply(std::vector<int32_t>& first, std::vector<int32_t>& second, bool pair,
             size_t added) const;

 private:
  enum class Strategy { kLongestFirst, kOnlyFirst, kOnlySecond };
  void Shorten(std::vector<int32_t>& ids, size_t length) const;

  size_t max_length_;
  Strategy strategy_;
  bool left_;  // drops the beginning rather than the end
};

class Padding {
 public:
  explicit Padding(const JsonField& field);
  // `longest`: the longest encoding of a batch, for the strategy BatchLongest.
  void Apply(Encoding& encoding, size_t longest) const;
  int32_t id() const { return id_; }

 private:
  size_t fixed_ = 0;  // 0: BatchLongest
  size_t multiple_ = 0;
  bool left_ = false;
  int32_t id_ = 0, type_id_ = 0;
};

}  // namespace orchard::text
