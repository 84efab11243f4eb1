#include "nn/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/log_softmax.h>

#include "base/error.h"

namespace orchard::nn {

at::Tensor NextTokens(const at::Tensor& tokens, const at::Tensor& attention_mask) {
  const int64_t length = tokens.size(1);
  at::Tensor targets = at::full_like(tokens, -100);
  if (length < 2) return targets;
  at::Tensor next = tokens.narrow(1, 1, length - 1);
  if (attention_mask.defined()) {
    const at::Tensor absent = attention_mask.narrow(1, 1, length - 1).eq(0);
    next = next.masked_fill(absent, -100);
  }
  targets.narrow(1, 0, length - 1).copy_(next);
  return targets;
}

at::Tensor TokenLoss(const at::Tensor& logits, const at::Tensor& targets,
                     const CrossEntropyOptions& options) {
  return CrossEntropy(logits.reshape({-1, logits.size(-1)}), targets.reshape({-1}), options);
}

at::Tensor SoftTargetLoss(const at::Tensor& logits, const at::Tensor& targets) {
  if (!logits.sizes().equals(targets.sizes())) {
    throw UsageError("logits and target distributions must have the same shape");
  }
  const auto wide = logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor log_probability = at::log_softmax(logits, -1, wide);
  return -(log_probability * targets.to(wide)).sum(-1).mean();
}

at::Tensor SmoothTargets(const at::Tensor& labels, int64_t classes, double label_smoothing,
                         at::ScalarType dtype) {
  const double off = label_smoothing / static_cast<double>(classes);
  at::Tensor targets = at::full({labels.size(0), classes}, off, labels.options().dtype(dtype));
  return targets.scatter_(1, labels.unsqueeze(1), 1 - label_smoothing + off);
}

}  // namespace orchard::nn
