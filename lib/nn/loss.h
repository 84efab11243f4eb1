// Training losses on a model's logits. All are means in nats: over predicted tokens, or over
// samples.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/fused_ops.h"

namespace orchard::nn {

// The target of every position of a causal model: the token after it; -100 at the last position and
// where the next token is padding.
//   tokens          [N, T] int64
//   attention_mask  [N, T], 0 = padding, or undefined
at::Tensor NextTokens(const at::Tensor& tokens, const at::Tensor& attention_mask = {});

// Cross-entropy of logits [N, T, V] against targets [N, T] int64, -100 = not predicted. Zero when
// nothing is predicted.
at::Tensor TokenLoss(const at::Tensor& logits, const at::Tensor& targets,
                     const CrossEntropyOptions& options = {});

// Cross-entropy of logits [N, C] against a distribution over the classes [N, C], rows summing to
// one (mixup, distillation).
at::Tensor SoftTargetLoss(const at::Tensor& logits, const at::Tensor& targets);

// One-hot rows with the weight of `label_smoothing` spread over all classes: what mixup mixes.
//   labels  [N] int64 in [0, classes)
at::Tensor SmoothTargets(const at::Tensor& labels, int64_t classes, double label_smoothing,
                         at::ScalarType dtype);

}  // namespace orchard::nn
