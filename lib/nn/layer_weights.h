// The tensors of a model by role, looked up once. All are handles to the values in Parameters;
// absent ones are undefined.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nn/parameters.h"
#include "nn/transformer_config.h"

namespace orchard::nn {

// y = W x + b.
struct Linear {
  at::Tensor weight;  // [out, in]; a view where the stored matrix is [in, out]
  at::Tensor bias;    // [out] or undefined

  bool defined() const { return weight.defined(); }
  // x [..., in] to [..., out], computed in the dtype of `weight`.
  at::Tensor operator()(const at::Tensor& x) const;
};

struct NormWeights {
  at::Tensor weight, bias;  // [D]; RMSNorm has no bias
  bool defined() const { return weight.defined(); }
};

struct ExpertWeights {
  Linear gate, up, down;
};

struct LayerWeights {
  NormWeights attn_norm, attn_post_norm, mlp_norm, mlp_post_norm;
  NormWeights q_norm, k_norm;
  Linear q, k, v, qkv, o;
  Linear fc1, fc2;                   // plain MLP
  Linear gate, up, gate_up, down;    // gated MLP
  at::Tensor attn_scale, mlp_scale;  // [D], LayerScale
  Linear router;                     // [experts, D]
  std::vector<ExpertWeights> experts;
};

struct EmbeddingWeights {
  at::Tensor token, position, type;  // [rows, D]
  NormWeights norm;
  at::Tensor cls, dist;  // [1, 1, D]
  at::Tensor patch;      // [D, C, p, p]
  at::Tensor patch_bias;
};

struct HeadWeights {
  NormWeights final_norm;
  Linear mlm_dense;
  NormWeights mlm_norm;
  Linear vocabulary;  // undefined: no logits over tokens
  Linear pooler;
  Linear classifier_dense, classifier, dist_classifier;
};

// `compute` is the dtype of matrix products: matrices of another dtype are cast (differentiably).
// Throw DataError naming the slot of a tensor that the architecture needs and the model lacks, or
// whose shape does not fit the configuration.
LayerWeights FindLayerWeights(const TransformerConfig& config, const Parameters& parameters,
                              int64_t layer, at::ScalarType compute);
EmbeddingWeights FindEmbeddingWeights(const TransformerConfig& config,
                                      const Parameters& parameters);
HeadWeights FindHeadWeights(const TransformerConfig& config, const Parameters& parameters,
                            at::ScalarType compute);

}  // namespace orchard::nn
