#include "nn/layer_weights.h"

#include <ATen/ops/linear.h>

#include "base/error.h"

namespace orchard::nn {
namespace {

// Looks tensors up by slot and checks their shapes.
class Finder {
 public:
  Finder(const TransformerConfig& config, const Parameters& parameters, at::ScalarType compute)
      : config_(config), parameters_(parameters), compute_(compute) {}

  at::Tensor Vector(const std::string& slot, int64_t size, bool required = false) const {
    at::Tensor v = required ? parameters_.Get(slot) : parameters_.Find(slot);
    if (v.defined() && (v.dim() != 1 || v.size(0) != size)) Misshapen(slot, v, {size});
    return v;
  }

  NormWeights Norm(const std::string& slot, int64_t size, bool required = true) const {
    NormWeights norm{Vector(slot + ".weight", size, required), Vector(slot + ".bias", size)};
    if (norm.defined() && config_.norm == NormKind::kLayerNorm && !norm.bias.defined()) {
      parameters_.Get(slot + ".bias");
    }
    return norm;
  }

  // `transposed`: stored as [in, out].
  Linear Matrix(const std::string& slot, int64_t out, int64_t in, bool required = true,
                bool transposed = false) const {
    Linear linear;
    linear.weight =
        required ? parameters_.Get(slot + ".weight") : parameters_.Find(slot + ".weight");
    if (!linear.weight.defined()) return linear;
    if (transposed && linear.weight.dim() == 2) linear.weight = linear.weight.t();
    if (linear.weight.dim() != 2 || (out > 0 && linear.weight.size(0) != out) ||
        linear.weight.size(1) != in) {
      Misshapen(slot + ".weight", linear.weight, {out, in});
    }
    linear.weight = linear.weight.to(compute_);
    linear.bias = Vector(slot + ".bias", linear.weight.size(0));
    if (linear.bias.defined()) linear.bias = linear.bias.to(compute_);
    return linear;
  }

 private:
  [[noreturn]] static void Misshapen(const std::string& slot, const at::Tensor& value,
                                     std::initializer_list<int64_t> expected) {
    const auto text = [](at::IntArrayRef sizes) {
      std::string s = "[";
      for (size_t i = 0; i < sizes.size(); ++i) {
        s += (i > 0 ? ", " : "") + (sizes[i] > 0 ? std::to_string(sizes[i]) : std::string("any"));
      }
      return s + "]";
    };
    throw DataError("shape " + text(value.sizes()) + " where the configuration asks for " +
                        text(at::IntArrayRef(expected.begin(), expected.size())),
                    slot);
  }

  const TransformerConfig& config_;
  const Parameters& parameters_;
  at::ScalarType compute_;
};

void FindAttention(const TransformerConfig& c, const Finder& find, const std::string& at,
                   LayerWeights& w) {
  const int64_t q_width = c.heads * c.head_dim, kv_width = c.kv_heads * c.head_dim;
  if (c.qkv == QkvLayout::kSeparate) {
    w.q = find.Matrix(at + "q", q_width, c.hidden, true, c.conv1d);
    w.k = find.Matrix(at + "k", kv_width, c.hidden, true, c.conv1d);
    w.v = find.Matrix(at + "v", kv_width, c.hidden, true, c.conv1d);
  } else {
    w.qkv = find.Matrix(at + "qkv", q_width + 2 * kv_width, c.hidden, true, c.conv1d);
  }
  w.o = find.Matrix(at + "o", c.hidden, q_width, true, c.conv1d);
  if (c.qk_norm != QueryKeyNorm::kNone) {
    const bool per_head = c.qk_norm == QueryKeyNorm::kPerHead;
    w.q_norm = find.Norm(at + "q_norm", per_head ? c.head_dim : q_width);
    w.k_norm = find.Norm(at + "k_norm", per_head ? c.head_dim : kv_width);
  }
}

void FindMlp(const TransformerConfig& c, const Parameters& parameters, const Finder& find,
             const std::string& at, int64_t layer, LayerWeights& w) {
  if (c.moe.experts > 0 && c.moe.layer_is_sparse[static_cast<size_t>(layer)]) {
    w.router = find.Matrix(at + "router", c.moe.experts, c.hidden);
    for (int64_t e = 0; e < c.moe.experts; ++e) {
      const std::string expert = at + "expert." + std::to_string(e) + ".";
      ExpertWeights found;
      found.gate = find.Matrix(expert + "gate", 0, c.hidden);
      const int64_t ffn = found.gate.weight.size(0);
      found.up = find.Matrix(expert + "up", ffn, c.hidden);
      found.down = find.Matrix(expert + "down", c.hidden, ffn);
      w.experts.push_back(std::move(found));
    }
  } else if (!c.gated) {
    w.fc1 = find.Matrix(at + "fc1", c.ffn, c.hidden, true, c.conv1d);
    w.fc2 = find.Matrix(at + "fc2", c.hidden, c.ffn, true, c.conv1d);
  } else {
    if (parameters.Has(at + "gate_up.weight")) {
      w.gate_up = find.Matrix(at + "gate_up", 2 * c.ffn, c.hidden);
    } else {
      w.gate = find.Matrix(at + "gate", c.ffn, c.hidden);
      w.up = find.Matrix(at + "up", c.ffn, c.hidden);
    }
    w.down = find.Matrix(at + "down", c.hidden, c.ffn);
  }
}

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& x) const {
  return at::linear(x.to(weight.scalar_type()), weight, bias);
}

LayerWeights FindLayerWeights(const TransformerConfig& c, const Parameters& parameters,
                              int64_t layer, at::ScalarType compute) {
  const Finder find(c, parameters, compute);
  const std::string at = "layer." + std::to_string(layer) + ".";
  LayerWeights w;
  if (c.block != BlockKind::kPostResidual) {
    w.attn_norm = find.Norm(at + "attn_norm", c.hidden);
    w.mlp_norm = find.Norm(at + "mlp_norm", c.hidden);
  }
  if (c.block == BlockKind::kPostResidual || c.block == BlockKind::kSandwich) {
    w.attn_post_norm = find.Norm(at + "attn_post_norm", c.hidden);
    w.mlp_post_norm = find.Norm(at + "mlp_post_norm", c.hidden);
  }
  FindAttention(c, find, at, w);
  FindMlp(c, parameters, find, at, layer, w);
  w.attn_scale = find.Vector(at + "attn_scale", c.hidden);
  w.mlp_scale = find.Vector(at + "mlp_scale", c.hidden);
  return w;
}

EmbeddingWeights FindEmbeddingWeights(const TransformerConfig& c, const Parameters& parameters) {
  const Finder find(c, parameters, at::kFloat);
  EmbeddingWeights w;
  if (c.is_image()) {
    w.cls = parameters.Find("embed.cls");
    w.dist = parameters.Find("embed.dist");
    w.position = parameters.Get("embed.position");
    w.patch = parameters.Get("embed.patch.weight");
    w.patch_bias = find.Vector("embed.patch.bias", c.hidden);
    if (w.patch.dim() != 4 || w.patch.size(2) != c.patch_height ||
        w.patch.size(3) != c.patch_width) {
      throw DataError("the patch projection does not fit patch_size", "embed.patch.weight");
    }
  } else {
    w.token = parameters.Get("embed.token");
    if (c.position != PositionKind::kNone) w.position = parameters.Get("embed.position");
    w.type = parameters.Find("embed.type");
  }
  w.norm = find.Norm("embed.norm", c.hidden, false);
  return w;
}

HeadWeights FindHeadWeights(const TransformerConfig& c, const Parameters& parameters,
                            at::ScalarType compute) {
  const Finder find(c, parameters, compute);
  HeadWeights w;
  w.final_norm = find.Norm("final_norm", c.hidden, c.block != BlockKind::kPost);
  w.pooler = find.Matrix("pooler", 0, c.hidden, false);
  w.mlm_dense = find.Matrix("mlm.dense", 0, c.hidden, false);
  if (w.mlm_dense.defined()) w.mlm_norm = find.Norm("mlm.norm", w.mlm_dense.weight.size(0));
  w.classifier_dense = find.Matrix("classifier.dense", 0, c.hidden, false);
  const int64_t features = c.pooling == Pooling::kFirstAndMean ? 2 * c.hidden : c.hidden;
  w.classifier = find.Matrix("classifier", 0, features, false);
  w.dist_classifier = find.Matrix("dist_classifier", 0, c.hidden, false);
  if (c.is_image()) return w;

  // An encoder predicts tokens only where it has a head of its own: its tied matrix alone is no
  // sign of one.
  const bool has_head = c.causal ? !w.classifier.defined()
                                 : w.mlm_dense.defined() || parameters.Has("head.weight") ||
                                       parameters.Has("head.bias");
  if (!has_head) return w;
  if (!c.tied_head) {
    w.vocabulary = find.Matrix("head", c.vocab, c.hidden, false);
    // Untied, BERT stores two biases and adds that of the matrix.
    const at::Tensor own_bias = find.Vector("head.decoder_bias", c.vocab);
    if (own_bias.defined()) w.vocabulary.bias = own_bias.to(compute);
  } else {
    w.vocabulary.weight = parameters.Get("embed.token").to(compute);
    w.vocabulary.bias = find.Vector("head.bias", c.vocab);
    if (w.vocabulary.bias.defined()) w.vocabulary.bias = w.vocabulary.bias.to(compute);
  }
  return w;
}

}  // namespace orchard::nn
