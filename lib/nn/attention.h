// Self-attention: projections in any stored layout, grouped queries, rotary positions, windows,
// soft-capped scores.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/layer_weights.h"
#include "nn/sequence.h"
#include "nn/training_context.h"

namespace orchard::nn {

// x [N, T, D], already normalised where the block says so, to [N, T, D]. `training` null: no
// dropout.
at::Tensor Attention(const TransformerConfig& config, const LayerWeights& weights, int64_t layer,
                     const at::Tensor& x, const Sequence& sequence,
                     const TrainingContext* training);

}  // namespace orchard::nn
