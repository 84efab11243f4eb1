// From tokens or images to the residual stream.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/layer_weights.h"
#include "nn/sequence.h"
#include "nn/training_context.h"

namespace orchard::nn {

// One of the two norms over the last dimension, by the configuration.
at::Tensor Norm(const TransformerConfig& config, const at::Tensor& x, const NormWeights& norm);

// Row of the position table for each token, [1 or N, T] int64.
at::Tensor PositionRows(const TransformerConfig& config, const Batch& batch);

// [N, T, D]; for images T counts the cls (and distillation) token and the patches.
at::Tensor Embed(const TransformerConfig& config, const EmbeddingWeights& weights,
                 const Batch& batch, const TrainingContext* training);

}  // namespace orchard::nn
