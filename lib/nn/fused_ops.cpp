#include "nn/fused_ops.h"

#include <ATen/ATen.h>

#include <string>

#include "base/error.h"

namespace orchard::nn {
namespace {

at::Tensor Activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return at::gelu(x, "none");
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kSilu:
      break;
  }
  return at::silu(x);
}

at::Tensor KeepScale(const at::Tensor& x, int64_t count, double probability,
                     const DropoutRandom& random) {
  std::vector<float> keep(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const Philox4 block = PhiloxAt(random.key, static_cast<uint64_t>(i) / 4, random.stream);
    keep[i] = UniformFloat(block.word[i % 4]) >= static_cast<float>(probability)
                  ? 1 / (1 - probability)
                  : 0;
  }
  return at::from_blob(keep.data(), {count}, at::kFloat)
      .to(x.device(), x.scalar_type(), false, true);
}

}  // namespace

at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double epsilon) {
  return at::layer_norm(x, {x.size(-1)}, weight, bias, epsilon);
}

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon, Gain gain) {
  const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const at::Tensor normal = wide * at::rsqrt(wide.square().mean(-1, true) + epsilon);
  const at::Tensor factor = gain == Gain::kOnePlusWeight ? weight + 1 : weight;
  return (normal * factor).to(x.scalar_type());
}

at::Tensor BiasActivation(const at::Tensor& x, const at::Tensor& bias, Activation activation) {
  return Activate(bias.defined() ? x + bias : x, activation);
}

at::Tensor GatedActivation(const at::Tensor& gate, const at::Tensor& up, Activation activation) {
  return Activate(gate, activation) * up;
}

at::Tensor CrossEntropyRows(const at::Tensor& logits, const at::Tensor& targets,
                            const CrossEntropyOptions& options) {
  const at::Tensor wide = logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
  return at::cross_entropy_loss(wide, targets, {}, at::Reduction::None, options.ignore_index,
                                options.label_smoothing);
}

at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& targets,
                        const CrossEntropyOptions& options) {
  const at::Tensor rows = CrossEntropyRows(logits, targets, options);
  const at::Tensor count = targets.ne(options.ignore_index).sum().clamp_min(1);
  return rows.sum() / count;
}

at::Tensor Dropout(const at::Tensor& x, double probability, const DropoutRandom& random) {
  if (probability == 0) return x;
  return x * KeepScale(x, x.numel(), probability, random).view_as(x);
}

at::Tensor DropoutAdd(const at::Tensor& x, const at::Tensor& residual, double probability,
                      const DropoutRandom& random) {
  return residual + Dropout(x, probability, random);
}

at::Tensor DropPath(const at::Tensor& x, double probability, const DropoutRandom& random) {
  if (probability == 0) return x;
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  return x * KeepScale(x, x.size(0), probability, random).view(shape);
}

}  // namespace orchard::nn
