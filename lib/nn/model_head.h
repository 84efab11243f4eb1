// From the residual stream to what a model is asked for.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/layer_weights.h"
#include "nn/sequence.h"
#include "nn/training_context.h"

namespace orchard::nn {

// What a model returns; what it has no head for stays undefined.
struct ModelOutput {
  at::Tensor hidden;        // [N, T, D] after the final norm
  at::Tensor token_logits;  // [N, T, V]
  at::Tensor class_logits;  // [N, classes]
  at::Tensor pooled;        // [N, features] of the pooler
  // Of batch norms in training: what the running statistics are to move towards
  // (ResNet::MoveStatistics).
  at::Tensor measured;
};

// x [N, T, D] of the last layer. `training` null: no dropout.
ModelOutput ModelHead(const TransformerConfig& config, const HeadWeights& weights,
                      const at::Tensor& x, const Sequence& sequence,
                      const TrainingContext* training = nullptr);

}  // namespace orchard::nn
