// Cosine attention to any number of templates, one after the other: L, M and the sums behind a are
// sums over tokens, so nothing but those is kept. Memory does not depend on how many there are: 4
// B N (K + 1) (C + 1) bytes at a level of N cells and C channels.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "segment/cosine_attention.h"

namespace orchard::segment {

class StreamedAttention {
 public:
  // q [B, N, d]; tau and beta single numbers.
  StreamedAttention(at::Tensor q, at::Tensor tau, at::Tensor beta)
      : q_(std::move(q)), tau_(std::move(tau)), beta_(std::move(beta)) {}

  // All tokens added so far count as one set.
  void Add(const TemplateTokens& tokens);

  // What CosineAttention says of all tokens concatenated, but for rounding. At least one Add.
  AttentionResult Finish() const;

 private:
  at::Tensor q_, tau_, beta_;
  at::Tensor mass_;     // L: [B, N, K + 1]
  at::Tensor context_;  // L a: [B, N, K + 1, C]
  at::Tensor area_;     // M: [B, K + 1]
};

}  // namespace orchard::segment
