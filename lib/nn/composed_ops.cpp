#include "nn/composed_ops.h"

#include <ATen/ATen.h>

#include <vector>

#include "nn/dropout_element.h"

namespace orchard::nn::composed {
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

// The type that the kernels compute in.
at::Tensor Wide(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

}  // namespace

at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double epsilon) {
  if (x.scalar_type() == weight.scalar_type()) {
    return at::layer_norm(x, {x.size(-1)}, weight, bias, epsilon);
  }
  return at::layer_norm(Wide(x), {x.size(-1)}, Wide(weight), Wide(bias), epsilon)
      .to(x.scalar_type());
}

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon, Gain gain) {
  const at::Tensor wide = Wide(x);
  const at::Tensor normal = wide * at::rsqrt(wide.square().mean(-1, true) + epsilon);
  const at::Tensor factor = gain == Gain::kOnePlusWeight ? Wide(weight) + 1 : Wide(weight);
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
  return at::cross_entropy_loss(Wide(logits), targets, {}, at::Reduction::None,
                                options.ignore_index, options.label_smoothing);
}

at::Tensor Dropout(const at::Tensor& x, int64_t group, double probability,
                   const DropoutRandom& random) {
  const int64_t draws = x.numel() / group;
  const uint32_t threshold = DropThreshold(probability);
  at::Tensor factors = at::empty({draws, 1}, at::kDouble);
  double* factor = factors.mutable_data_ptr<double>();
  for (int64_t i = 0; i < draws; ++i) {
    const Philox4 block = PhiloxAt(random.key, static_cast<uint64_t>(i) / 4, random.stream);
    factor[i] = Kept(block.word[i % 4], threshold) ? 1 / (1 - probability) : 0;
  }
  return (x.reshape({draws, group}) * factors.to(x.device(), x.scalar_type())).view(x.sizes());
}

}  // namespace orchard::nn::composed
