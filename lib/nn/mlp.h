// The feed-forward half of a block: plain, gated, or a mixture of gated experts.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/layer_weights.h"

namespace orchard::nn {

at::Tensor ApplyNonlinearity(const at::Tensor& x, Nonlinearity nonlinearity);

// x [N, T, D], already normalised where the block says so, to [N, T, D].
at::Tensor Mlp(const TransformerConfig& config, const LayerWeights& weights, const at::Tensor& x);

}  // namespace orchard::nn
