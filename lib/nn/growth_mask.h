// A mask that hides the units and layers which a model has just gained and opens over time, so that
// it starts at the old model's function whatever its new weights are (Yao et al., Masked Structural
// Growth, 2023).
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "nn/layer_weights.h"
#include "nn/transformer_config.h"

namespace orchard::nn {

// With m = `open` in [0, 1] (docs/methods/lemon-expand.md, "Masked growth"):
//   new residual coordinates   are replaced by c + m (x - c) where a norm reads them; c is the mean
//                              of the old ones for LayerNorm, 0 for RMSNorm
//   new heads, hidden units    their outputs are multiplied by m
//   new layers                 x + m (layer(x) - x)
struct GrowthMask {
  at::Tensor residual, heads, hidden;  // [D], [heads x head_dim], [ffn] bool, true where new
  std::vector<bool> layers;            // true where new
  double open = 1;

  // The residual stream [..., D] as a norm reads it.
  at::Tensor Fill(const TransformerConfig& config, const at::Tensor& x) const;
  // A layer's weights, those that read heads and hidden units masked.
  LayerWeights Apply(LayerWeights weights) const;
  // A layer's output, from its input and what it computes.
  at::Tensor Join(int64_t layer, const at::Tensor& x, const at::Tensor& y) const;
};

}  // namespace orchard::nn
