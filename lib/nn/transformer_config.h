// What a Transformer computes, read from a Hugging Face config.json: one description for every
// supported architecture, so that one forward pass (nn/transformer.h) serves them all.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nn/fused_ops.h"
#include "nn/norm.h"

namespace orchard::nn {

// How a sub-block f (attention or MLP) is joined to the residual stream x.
enum class BlockKind {
  kPre,           // x + f(norm(x))
  kPost,          // norm(x + f(x)): the original BERT
  kPostResidual,  // x + norm(f(x)): OLMo 2
  kSandwich,      // x + post_norm(f(norm(x))): Gemma 2
  kParallel       // x + attention(norm1(x)) + mlp(norm2(x)): GPT-NeoX
};

enum class Nonlinearity { kGelu, kGeluTanh, kRelu, kSilu, kTanh };

// Which row of the learned position table a token reads.
enum class PositionKind {
  kNone,     // none, or rotary only
  kIndex,    // its index in the sequence
  kMasked,   // 2 + (attended tokens up to and including it) - 1, or 1 where it is masked: OPT
  kPadding,  // pad + (tokens other than pad up to and including it), or pad where it is pad:
             // RoBERTa
  kImage     // the whole table is added: cls (and distillation) token, then patches
};

enum class QkvLayout {
  kSeparate,  // q, k, v
  kBlocks,    // one matrix: all of q, then k, then v
  kPerHead    // one matrix: q, k, v of head 0, then of head 1, ...: GPT-NeoX
};

enum class QueryKeyNorm { kNone, kPerHead, kAllHeads };

// What an image or sentence classifier reads.
enum class Pooling {
  kFirst,         // hidden state of the first token
  kLast,          // hidden state of the last attended token: decoders
  kPooler,        // tanh(dense(first token))
  kMean,          // mean over patches, then the pooled norm: timm's `fc_norm`
  kFirstAndMean,  // first token and the mean over patches, concatenated: DINOv2
};

struct RopeConfig {
  enum class Scaling { kNone, kLinear, kLlama3 };
  double theta = 1e4;
  int64_t dim = 0;  // rotated part of a head, even
  Scaling scaling = Scaling::kNone;
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double original_max_positions = 0;                 // llama3
};

struct MoeConfig {
  int64_t experts = 0;  // 0: dense
  int64_t experts_per_token = 0;
  bool normalise_top = true;          // gates of the chosen experts sum to one
  std::vector<bool> layer_is_sparse;  // one per layer
};

struct DropoutConfig {
  double embedding = 0, hidden = 0, attention = 0;  // probabilities
  double classifier = 0;                            // of what a classifier of texts reads
  double path = 0;  // drop-path of the last layer; grows linearly from 0
};

struct TransformerConfig {
  std::string model_type;
  int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn = 0;
  int64_t vocab = 0;      // 0 for images
  int64_t positions = 0;  // longest sequence, rows of the position table without its offset

  NormKind norm = NormKind::kLayerNorm;
  Gain norm_gain = Gain::kWeight;
  double norm_eps = 1e-5;
  BlockKind block = BlockKind::kPre;
  QueryKeyNorm qk_norm = QueryKeyNorm::kNone;

  PositionKind position = PositionKind::kNone;
  int64_t pad_token = -1;  // used by PositionKind::kPadding
  std::optional<RopeConfig> rope;
  double embed_scale = 1;  // factor on token embeddings, rounded to f32 and to their dtype

  bool causal = true;
  QkvLayout qkv = QkvLayout::kSeparate;
  double attention_scale = 0;             // factor on q.k
  bool attention_scale_by_layer = false;  // further divided by layer + 1: GPT-2's option
  double attention_softcap = 0;           // c tanh(score / c); 0: none
  int64_t window = 0;                     // keys a sliding layer sees, itself included
  std::vector<bool> layer_is_sliding;     // one per layer
  bool conv1d = false;                    // linear weights are stored [in, out]: GPT-2

  Nonlinearity activation = Nonlinearity::kGelu;
  bool gated = false;
  MoeConfig moe;

  bool tied_head = false;
  double logit_softcap = 0;
  Nonlinearity mlm_activation = Nonlinearity::kGelu;
  Nonlinearity pooler_activation = Nonlinearity::kTanh;
  Pooling pooling = Pooling::kFirst;
  Nonlinearity classifier_activation = Nonlinearity::kTanh;  // after `classifier.dense`

  int64_t image_height = 0, image_width = 0, patch_height = 0, patch_width = 0, channels = 3;

  DropoutConfig dropout;
  double initializer_range = 0.02;

  bool is_image() const { return patch_height > 0; }
};

// Reads config.json of transformers 4 and 5 (`rope_theta` and `rope_scaling` or `rope_parameters`).
// Missing keys have the defaults of transformers 5. Throws DataError (a key is missing or
// malformed) and ImpossibleError (a setting that the forward pass does not know), both naming the
// key. `model_type` is that of the config, or one of the names of arch/ (`bert_preln`, `timm_vit`).
TransformerConfig ParseTransformerConfig(const nlohmann::ordered_json& config,
                                         std::string_view model_type);

}  // namespace orchard::nn
