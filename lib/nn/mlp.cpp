#include "nn/mlp.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros_like.h>

#include <optional>
#include <tuple>

namespace orchard::nn {
namespace {

// The fused operation for a nonlinearity, where there is one.
std::optional<Activation> Fused(Nonlinearity nonlinearity) {
  switch (nonlinearity) {
    case Nonlinearity::kGelu:
      return Activation::kGelu;
    case Nonlinearity::kGeluTanh:
      return Activation::kGeluTanh;
    case Nonlinearity::kSilu:
      return Activation::kSilu;
    case Nonlinearity::kRelu:
    case Nonlinearity::kTanh:
      break;
  }
  return std::nullopt;
}

at::Tensor Gated(Nonlinearity nonlinearity, const at::Tensor& gate, const at::Tensor& up) {
  const auto fused = Fused(nonlinearity);
  return fused ? GatedActivation(gate, up, *fused) : ApplyNonlinearity(gate, nonlinearity) * up;
}

// Every token goes to its `experts_per_token` most probable experts; their outputs are added with
// those probabilities.
at::Tensor Mixture(const TransformerConfig& c, const LayerWeights& w, const at::Tensor& x) {
  const at::Tensor tokens = x.reshape({-1, x.size(-1)});
  const at::Tensor logits = w.router(tokens);
  const at::ScalarType wide = logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  auto [gate, expert] =
      at::topk(at::softmax(logits, -1, wide), c.moe.experts_per_token, -1);  // [tokens, k]
  if (c.moe.normalise_top) gate = gate / gate.sum(-1, true);
  gate = gate.to(logits.scalar_type());

  at::Tensor out = at::zeros_like(tokens, tokens.options().dtype(logits.scalar_type()));
  for (size_t e = 0; e < w.experts.size(); ++e) {
    const at::Tensor chosen = expert.eq(static_cast<int64_t>(e)).nonzero();  // [m, 2]: token, place
    if (chosen.size(0) == 0) continue;
    const at::Tensor token = chosen.select(1, 0);
    const ExpertWeights& expert_weights = w.experts[e];
    const at::Tensor input = tokens.index_select(0, token);
    const at::Tensor y = expert_weights.down(
        Gated(c.activation, expert_weights.gate(input), expert_weights.up(input)));
    const at::Tensor place = token * c.moe.experts_per_token + chosen.select(1, 1);
    out = out.index_add(0, token, y * gate.reshape({-1}).index_select(0, place).unsqueeze(1));
  }
  return out.view(x.sizes());
}

}  // namespace

at::Tensor ApplyNonlinearity(const at::Tensor& x, Nonlinearity nonlinearity) {
  if (nonlinearity == Nonlinearity::kRelu) return at::relu(x);
  if (nonlinearity == Nonlinearity::kTanh) return at::tanh(x);
  return BiasActivation(x, {}, *Fused(nonlinearity));
}

at::Tensor Mlp(const TransformerConfig& c, const LayerWeights& w, const at::Tensor& x) {
  if (w.router.defined()) return Mixture(c, w, x);
  if (!c.gated) return w.fc2(ApplyNonlinearity(w.fc1(x), c.activation));
  if (w.gate_up.defined()) {
    const auto part = w.gate_up(x).split(c.ffn, -1);
    return w.down(Gated(c.activation, part[0], part[1]));
  }
  return w.down(Gated(c.activation, w.gate(x), w.up(x)));
}

}  // namespace orchard::nn
