#include "nn/growth_mask.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/where.h>

#include <utility>

namespace orchard::nn {
namespace {

// Columns of new units times `open`, in the type of the weight.
void MaskColumns(Linear& linear, const at::Tensor& is_new, double open) {
  if (!linear.defined()) return;
  linear.weight = at::where(is_new.to(linear.weight.device()), linear.weight * open, linear.weight);
}

}  // namespace

at::Tensor GrowthMask::Fill(const TransformerConfig& config, const at::Tensor& x) const {
  const at::Tensor is_new = residual.to(x.device());
  if (config.norm != NormKind::kLayerNorm) return at::where(is_new, x * open, x);
  const at::Tensor old = is_new.logical_not().to(x.scalar_type());
  const at::Tensor mean = (x * old).sum(-1, true) / old.sum();
  return at::where(is_new, mean + (x - mean) * open, x);
}

LayerWeights GrowthMask::Apply(LayerWeights weights) const {
  MaskColumns(weights.o, heads, open);
  MaskColumns(weights.fc2, hidden, open);
  MaskColumns(weights.down, hidden, open);
  for (ExpertWeights& expert : weights.experts) MaskColumns(expert.down, hidden, open);
  return weights;
}

at::Tensor GrowthMask::Join(int64_t layer, const at::Tensor& x, const at::Tensor& y) const {
  if (!layers[static_cast<size_t>(layer)]) return y;
  return x + (y - x) * open;
}

}  // namespace orchard::nn
