// What the layers of one forward pass share: which keys a query may see, and the rotary tables.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/rotary.h"
#include "nn/transformer_config.h"

namespace orchard::nn {

// The input of a model: tokens or images.
struct Batch {
  at::Tensor tokens;          // [N, T] int64
  at::Tensor attention_mask;  // [N, T] bool or integer, 0 = padding; undefined: no padding
  at::Tensor types;           // [N, T] int64 segment of each token; undefined: 0
  at::Tensor images;          // [N, C, H, W], normalised
};

// Which keys a query may see.
struct AttentionMask {
  bool causal = false;  // keys up to the query and nothing else: `keep` is undefined
  at::Tensor keep;      // [N or 1, 1, T, T] bool; undefined with causal = false: all keys
};

struct Sequence {
  AttentionMask full, sliding;
  RotaryTable rotary;
  at::Tensor padding;  // [N, T] bool, true where a token is attended; undefined: everywhere
};

// Throws UsageError when the batch does not fit the model: wrong dtype or shape, a sequence longer
// than its position table.
Sequence PrepareSequence(const TransformerConfig& config, const Batch& batch,
                         at::ScalarType compute);

}  // namespace orchard::nn
