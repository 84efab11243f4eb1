#include "nn/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>

#include <limits>
#include <optional>

namespace orchard::nn {
namespace {

struct Heads {
  at::Tensor q;     // [N, T, heads, head_dim]
  at::Tensor k, v;  // [N, T, kv heads, head_dim]
};

at::Tensor SplitHeads(const at::Tensor& x, int64_t heads, int64_t head_dim) {
  return x.view({x.size(0), x.size(1), heads, head_dim});
}

at::Tensor Normalise(const TransformerConfig& c, const at::Tensor& x, const NormWeights& norm) {
  return norm.defined() ? RmsNorm(x, norm.weight, c.norm_eps, c.norm_gain) : x;
}

Heads Project(const TransformerConfig& c, const LayerWeights& w, const at::Tensor& x) {
  const bool norm_wide = c.qk_norm == QueryKeyNorm::kAllHeads;
  switch (c.qkv) {
    case QkvLayout::kSeparate: {
      at::Tensor q = w.q(x), k = w.k(x);
      if (norm_wide) {
        q = Normalise(c, q, w.q_norm);
        k = Normalise(c, k, w.k_norm);
      }
      return {SplitHeads(q, c.heads, c.head_dim), SplitHeads(k, c.kv_heads, c.head_dim),
              SplitHeads(w.v(x), c.kv_heads, c.head_dim)};
    }
    case QkvLayout::kBlocks: {
      const at::Tensor all = SplitHeads(w.qkv(x), c.heads + 2 * c.kv_heads, c.head_dim);
      const auto part = all.split_with_sizes({c.heads, c.kv_heads, c.kv_heads}, 2);
      return {part[0], part[1], part[2]};
    }
    case QkvLayout::kPerHead:
      break;
  }
  const auto part = SplitHeads(w.qkv(x), c.heads, 3 * c.head_dim).split(c.head_dim, -1);
  return {part[0], part[1], part[2]};
}

// [N, kv heads, T, d] to [N, heads, T, d]: every key-value head serves a group of neighbouring
// queries.
at::Tensor RepeatHeads(const at::Tensor& x, int64_t heads) {
  const int64_t group = heads / x.size(1);
  if (group == 1) return x;
  return x.unsqueeze(2)
      .expand({-1, -1, group, -1, -1})
      .reshape({x.size(0), heads, x.size(2), x.size(3)});
}

// Attention spelled out, for what the fused operation does not know: soft-capped scores, and
// dropout that can be drawn again.
at::Tensor ExplicitAttention(const Heads& heads, const AttentionMask& mask, double scale,
                             double softcap, double dropout, const DropoutRandom& random) {
  at::Tensor scores = at::matmul(heads.q, heads.k.transpose(-1, -2)) * scale;
  if (softcap > 0) scores = (scores / softcap).tanh() * softcap;
  const double minus_infinity = -std::numeric_limits<double>::infinity();
  if (mask.keep.defined()) {
    scores = scores.masked_fill(mask.keep.logical_not(), minus_infinity);
  } else if (mask.causal) {
    const int64_t length = scores.size(-1);
    const at::Tensor later = at::ones({length, length}, scores.options().dtype(at::kBool)).triu(1);
    scores = scores.masked_fill(later, minus_infinity);
  }
  // Half precision sums its exponentials in f32.
  const bool half = scores.scalar_type() == at::kBFloat16 || scores.scalar_type() == at::kHalf;
  at::Tensor weights =
      at::softmax(scores, -1, half ? std::optional<at::ScalarType>(at::kFloat) : std::nullopt)
          .to(heads.v.scalar_type());
  if (dropout > 0) weights = Dropout(weights, dropout, random);
  return at::matmul(weights, heads.v);
}

}  // namespace

at::Tensor Attention(const TransformerConfig& c, const LayerWeights& w, int64_t layer,
                     const at::Tensor& x, const Sequence& sequence,
                     const TrainingContext* training) {
  Heads heads = Project(c, w, x);
  if (c.qk_norm == QueryKeyNorm::kPerHead) {
    heads.q = Normalise(c, heads.q, w.q_norm);
    heads.k = Normalise(c, heads.k, w.k_norm);
  }
  if (c.rope) {
    heads.q = Rotate(heads.q, sequence.rotary);
    heads.k = Rotate(heads.k, sequence.rotary);
  }
  heads.q = heads.q.transpose(1, 2);
  heads.k = RepeatHeads(heads.k.transpose(1, 2), c.heads);
  heads.v = RepeatHeads(heads.v.transpose(1, 2), c.heads);

  const bool slides = c.layer_is_sliding[static_cast<size_t>(layer)];
  const AttentionMask& mask = slides ? sequence.sliding : sequence.full;
  const double scale =
      c.attention_scale / (c.attention_scale_by_layer ? static_cast<double>(layer + 1) : 1.0);
  const double dropout = training != nullptr ? c.dropout.attention : 0;
  at::Tensor out;  // [N, heads, T, head_dim]
  if (c.attention_softcap > 0 || dropout > 0) {
    const DropoutRandom random =
        training != nullptr ? training->Random("attention", layer) : DropoutRandom{};
    out = ExplicitAttention(heads, mask, scale, c.attention_softcap, dropout, random);
  } else {
    const auto keep = mask.keep.defined() ? std::optional<at::Tensor>(mask.keep) : std::nullopt;
    out =
        at::scaled_dot_product_attention(heads.q, heads.k, heads.v, keep, 0.0, mask.causal, scale);
  }
  return w.o(out.transpose(1, 2).reshape({x.size(0), x.size(1), c.heads * c.head_dim}));
}

}  // namespace orchard::nn
