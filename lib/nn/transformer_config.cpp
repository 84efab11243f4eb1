#include "nn/transformer_config.h"

#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "nn/config_reader.h"

namespace orchard::nn {
namespace {

Nonlinearity ReadActivation(const ConfigReader& r, const char* key, const char* fallback) {
  static const std::map<std::string, Nonlinearity> kNames = {
      {"gelu", Nonlinearity::kGelu},          {"gelu_python", Nonlinearity::kGelu},
      {"gelu_new", Nonlinearity::kGeluTanh},  {"gelu_pytorch_tanh", Nonlinearity::kGeluTanh},
      {"gelu_fast", Nonlinearity::kGeluTanh}, {"relu", Nonlinearity::kRelu},
      {"silu", Nonlinearity::kSilu},          {"swish", Nonlinearity::kSilu},
      {"tanh", Nonlinearity::kTanh},
  };
  const auto it = kNames.find(r.String(key, fallback));
  if (it == kNames.end()) {
    r.Unsupported(key, "known: gelu, gelu_new, gelu_pytorch_tanh, relu, silu, tanh");
  }
  return it->second;
}

// The sizes that almost every family spells alike.
void ReadSizes(const ConfigReader& r, TransformerConfig& c) {
  c.layers = r.Size("num_hidden_layers");
  c.hidden = r.Size("hidden_size");
  c.heads = r.Size("num_attention_heads");
  c.kv_heads = c.heads;
}

// Heads and the factor on their scores. `explicit_head_dim` families may have hidden != heads *
// head_dim.
void FinishHeads(const ConfigReader& r, TransformerConfig& c, bool explicit_head_dim,
                 int64_t default_head_dim = 0) {
  if (explicit_head_dim) c.head_dim = r.Int("head_dim", default_head_dim);
  if (c.head_dim == 0) {
    if (c.hidden % c.heads != 0) {
      throw DataError("hidden size " + std::to_string(c.hidden) + " is no multiple of " +
                          std::to_string(c.heads) + " heads",
                      r.where(), explicit_head_dim ? "give head_dim" : "");
    }
    c.head_dim = c.hidden / c.heads;
  }
  if (c.head_dim < 1) throw DataError("must be at least 1", r.where() + ": head_dim");
  if (c.kv_heads < 1 || c.heads % c.kv_heads != 0) {
    throw DataError("must divide num_attention_heads", r.where() + ": num_key_value_heads");
  }
  c.attention_scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
}

// transformers 5 keeps everything in `rope_parameters`; version 4 has `rope_theta`, `rope_scaling`
// and `partial_rotary_factor` (GPT-NeoX: `rotary_emb_base`, `rotary_pct`). A value inside the
// object wins.
void ReadRope(const ConfigReader& r, TransformerConfig& c, double default_theta = 1e4,
              const char* theta_key = "rope_theta", const char* part_key = "partial_rotary_factor",
              double default_part = 1) {
  RopeConfig rope;
  const auto inner = r.Has("rope_scaling") ? r.Object("rope_scaling") : r.Object("rope_parameters");
  const auto real = [&](const char* key, const char* outer_key, double fallback) {
    if (inner && inner->Has(key)) return inner->Real(key, fallback);
    return r.Real(outer_key, fallback);
  };
  rope.theta = real("rope_theta", theta_key, default_theta);
  const double part = real("partial_rotary_factor", part_key, default_part);
  rope.dim = static_cast<int64_t>(static_cast<double>(c.head_dim) * part);
  if (rope.theta <= 0) throw DataError("must be positive", r.where() + ": " + theta_key);
  if (rope.dim < 2 || rope.dim % 2 != 0 || rope.dim > c.head_dim) {
    throw ImpossibleError("the rotated part of a head must be even and at most head_dim, not " +
                              std::to_string(rope.dim),
                          r.where() + ": " + part_key);
  }
  if (inner) {
    for (const auto& item : inner->json()) {
      if (item.is_object()) {
        inner->Unsupported(inner->json().begin().key().c_str(),
                           "one set of rotary parameters for all layers is supported");
      }
    }
    const char* type_key = inner->Has("rope_type") ? "rope_type" : "type";
    const std::string type = inner->String(type_key, "default");
    if (type == "linear") {
      rope.scaling = RopeConfig::Scaling::kLinear;
      rope.factor = inner->Real("factor", 1);
    } else if (type == "llama3") {
      rope.scaling = RopeConfig::Scaling::kLlama3;
      rope.factor = inner->Real("factor", 1);
      rope.low_freq_factor = inner->Real("low_freq_factor", 1);
      rope.high_freq_factor = inner->Real("high_freq_factor", 4);
      rope.original_max_positions =
          real("original_max_position_embeddings", "max_position_embeddings",
               static_cast<double>(c.positions));
      if (rope.high_freq_factor == rope.low_freq_factor) {
        throw DataError("high_freq_factor equals low_freq_factor", inner->where());
      }
    } else if (type != "default") {
      inner->Unsupported(type_key, "known: default, linear, llama3");
    }
    if (rope.factor <= 0) throw DataError("must be positive", inner->where() + ": factor");
  }
  c.rope = rope;
}

// Which layers see only a window. `by_index` decides where the config has no `layer_types`.
void ReadSlidingLayers(const ConfigReader& r, TransformerConfig& c,
                       const std::function<bool(int64_t)>& by_index) {
  c.layer_is_sliding.resize(static_cast<size_t>(c.layers));
  for (int64_t i = 0; i < c.layers; ++i) {
    c.layer_is_sliding[static_cast<size_t>(i)] = c.window > 0 && by_index(i);
  }
  if (!r.Has("layer_types")) return;
  const auto& types = r.json().at("layer_types");
  if (!types.is_array() || static_cast<int64_t>(types.size()) != c.layers) {
    throw DataError("needs one entry per layer", r.where() + ": layer_types");
  }
  for (int64_t i = 0; i < c.layers; ++i) {
    const auto& type = types[static_cast<size_t>(i)];
    if (type == "sliding_attention") {
      if (c.window == 0) throw DataError("a sliding layer needs sliding_window", r.where());
      c.layer_is_sliding[static_cast<size_t>(i)] = true;
    } else if (type == "full_attention") {
      c.layer_is_sliding[static_cast<size_t>(i)] = false;
    } else {
      r.Unsupported("layer_types", "known: full_attention, sliding_attention");
    }
  }
}

int64_t ReadWindow(const ConfigReader& r, int64_t fallback) {
  // Only an absent key has the default; null means no window.
  if (r.json().contains("sliding_window") && !r.Has("sliding_window")) return 0;
  const int64_t window = r.Int("sliding_window", fallback);
  if (window < 0) throw DataError("must not be negative", r.where() + ": sliding_window");
  return window;
}

// Gated RMSNorm decoders with rotary positions: LLaMA and what descends from it.
TransformerConfig ReadLlamaLike(const ConfigReader& r, double eps, int64_t default_head_dim = 0,
                                double theta = 1e4, int64_t default_kv_heads = 0) {
  TransformerConfig c;
  ReadSizes(r, c);
  c.vocab = r.Size("vocab_size");
  c.positions = r.Int("max_position_embeddings", 1LL << 40);
  c.kv_heads = r.Int("num_key_value_heads", default_kv_heads > 0 ? default_kv_heads : c.heads);
  c.ffn = r.Size("intermediate_size");
  c.norm = NormKind::kRmsNorm;
  c.norm_eps = r.Real("rms_norm_eps", eps);
  FinishHeads(r, c, true, default_head_dim);
  ReadRope(r, c, theta);
  c.activation = ReadActivation(r, "hidden_act", "silu");
  c.gated = true;
  c.tied_head = r.Bool("tie_word_embeddings", false);
  c.dropout.attention = r.Real("attention_dropout", 0);
  c.initializer_range = r.Real("initializer_range", 0.02);
  c.pooling = Pooling::kLast;
  r.Only("use_bidirectional_attention", false);
  return c;
}

TransformerConfig ReadLlama(const ConfigReader& r) {
  r.Absent("sliding_window");
  return ReadLlamaLike(r, 1e-6);
}

TransformerConfig ReadMistral(const ConfigReader& r) {
  TransformerConfig c = ReadLlamaLike(r, 1e-6, 0, 1e4, 8);
  c.window = ReadWindow(r, 4096);
  r.Absent("layer_types");
  ReadSlidingLayers(r, c, [](int64_t) { return true; });
  return c;
}

TransformerConfig ReadQwen(const ConfigReader& r, int64_t head_dim, QueryKeyNorm qk_norm) {
  TransformerConfig c = ReadLlamaLike(r, 1e-6, head_dim, 1e4, head_dim == 0 ? 0 : 32);
  c.qk_norm = qk_norm;
  c.window = r.Bool("use_sliding_window", false) ? ReadWindow(r, 4096) : 0;
  const int64_t first = r.Int("max_window_layers", 28);
  ReadSlidingLayers(r, c, [first](int64_t i) { return i >= first; });
  return c;
}

TransformerConfig ReadQwen2(const ConfigReader& r) { return ReadQwen(r, 0, QueryKeyNorm::kNone); }

TransformerConfig ReadQwen3(const ConfigReader& r) {
  return ReadQwen(r, 128, QueryKeyNorm::kPerHead);
}

TransformerConfig ReadQwen3Moe(const ConfigReader& r) {
  TransformerConfig c = ReadLlamaLike(r, 1e-6, 0, 1e4, 4);
  c.qk_norm = QueryKeyNorm::kPerHead;
  c.window = r.Bool("use_sliding_window", false) ? ReadWindow(r, 4096) : 0;
  ReadSlidingLayers(r, c, [](int64_t) { return true; });
  c.moe.experts = r.Has("num_experts") ? r.Size("num_experts") : r.Int("num_local_experts", 128);
  c.moe.experts_per_token = r.Int("num_experts_per_tok", 8);
  c.moe.normalise_top = r.Bool("norm_topk_prob", false);
  const int64_t step = r.Int("decoder_sparse_step", 1);
  if (step < 1) throw DataError("must be at least 1", r.where() + ": decoder_sparse_step");
  for (int64_t i = 0; i < c.layers; ++i) c.moe.layer_is_sparse.push_back((i + 1) % step == 0);
  if (r.Has("mlp_only_layers")) {
    for (const auto& layer : r.json().at("mlp_only_layers")) {
      if (!layer.is_number_integer() || layer < 0 || layer >= c.layers) {
        throw DataError("no such layer", r.where() + ": mlp_only_layers");
      }
      c.moe.layer_is_sparse[layer.get<size_t>()] = false;
    }
  }
  return c;
}

TransformerConfig ReadMixtral(const ConfigReader& r) {
  TransformerConfig c = ReadLlamaLike(r, 1e-5, 0, 1e6, 8);
  c.window = ReadWindow(r, 0);
  ReadSlidingLayers(r, c, [](int64_t) { return true; });
  c.moe.experts = r.Has("num_experts") ? r.Size("num_experts") : r.Int("num_local_experts", 8);
  c.moe.experts_per_token = r.Int("num_experts_per_tok", 2);
  c.moe.layer_is_sparse.assign(static_cast<size_t>(c.layers), true);
  return c;
}

void ReadGemmaCommon(const ConfigReader& r, TransformerConfig& c) {
  c.norm_gain = Gain::kOnePlusWeight;
  c.embed_scale = std::sqrt(static_cast<double>(c.hidden));
  c.tied_head = r.Bool("tie_word_embeddings", true);
}

TransformerConfig ReadGemma(const ConfigReader& r) {
  TransformerConfig c = ReadLlamaLike(r, 1e-6, 256, 1e4, 16);
  ReadGemmaCommon(r, c);
  // The first releases say "gelu" and mean the tanh form; `hidden_activation` overrides it.
  c.activation = ReadActivation(r, r.Has("hidden_activation") ? "hidden_activation" : "hidden_act",
                                "gelu_pytorch_tanh");
  if (c.activation == Nonlinearity::kGelu) c.activation = Nonlinearity::kGeluTanh;
  return c;
}

TransformerConfig ReadGemma2(const ConfigReader& r) {
  TransformerConfig c = ReadLlamaLike(r, 1e-6, 256, 1e4, 4);
  ReadGemmaCommon(r, c);
  c.block = BlockKind::kSandwich;
  c.activation = ReadActivation(r, "hidden_activation", "gelu_pytorch_tanh");
  c.attention_scale = 1 / std::sqrt(r.Real("query_pre_attn_scalar", 256));
  const auto cap = [&](const char* key, double fallback) {  // null means none
    return r.json().contains(key) && !r.Has(key) ? 0.0 : r.Real(key, fallback);
  };
  c.attention_softcap = cap("attn_logit_softcapping", 50);
  c.logit_softcap = cap("final_logit_softcapping", 30);
  c.window = ReadWindow(r, 4096);
  ReadSlidingLayers(r, c, [](int64_t i) { return i % 2 == 0; });
  return c;
}

TransformerConfig ReadPhi3(const ConfigReader& r) {
  TransformerConfig c = ReadLlamaLike(r, 1e-5);
  c.qkv = QkvLayout::kBlocks;
  c.window = ReadWindow(r, 0);
  ReadSlidingLayers(r, c, [](int64_t) { return true; });
  c.dropout.embedding = r.Real("embd_pdrop", 0);
  c.dropout.hidden = r.Real("resid_pdrop", 0);
  return c;
}

TransformerConfig ReadOlmo2(const ConfigReader& r) {
  TransformerConfig c = ReadLlamaLike(r, 1e-5);
  c.block = BlockKind::kPostResidual;
  c.qk_norm = QueryKeyNorm::kAllHeads;
  return c;
}

TransformerConfig ReadGpt2(const ConfigReader& r) {
  TransformerConfig c;
  const auto size = [&](const char* key, const char* alias) {
    return r.Has(key) ? r.Size(key) : r.Size(r.Has(alias) ? alias : key);
  };
  c.layers = size("n_layer", "num_hidden_layers");
  c.hidden = size("n_embd", "hidden_size");
  c.heads = c.kv_heads = size("n_head", "num_attention_heads");
  c.vocab = r.Size("vocab_size");
  c.positions = size("n_positions", "max_position_embeddings");
  c.ffn = r.Int("n_inner", 4 * c.hidden);
  c.norm_eps = r.Real("layer_norm_epsilon", 1e-5);
  c.position = PositionKind::kIndex;
  FinishHeads(r, c, false);
  if (!r.Bool("scale_attn_weights", true)) c.attention_scale = 1;
  c.attention_scale_by_layer = r.Bool("scale_attn_by_inverse_layer_idx", false);
  r.Only("add_cross_attention", false);
  c.qkv = QkvLayout::kBlocks;
  c.conv1d = true;
  c.pooling = Pooling::kLast;
  c.activation = ReadActivation(r, "activation_function", "gelu_new");
  c.tied_head = r.Bool("tie_word_embeddings", true);
  c.dropout = {.embedding = r.Real("embd_pdrop", 0.1),
               .hidden = r.Real("resid_pdrop", 0.1),
               .attention = r.Real("attn_pdrop", 0.1)};
  c.initializer_range = r.Real("initializer_range", 0.02);
  return c;
}

TransformerConfig ReadGptNeox(const ConfigReader& r) {
  TransformerConfig c;
  ReadSizes(r, c);
  c.vocab = r.Size("vocab_size");
  c.positions = r.Size("max_position_embeddings");
  c.ffn = r.Size("intermediate_size");
  c.norm_eps = r.Real("layer_norm_eps", 1e-5);
  c.block = r.Bool("use_parallel_residual", true) ? BlockKind::kParallel : BlockKind::kPre;
  FinishHeads(r, c, false);
  ReadRope(r, c, 1e4, "rotary_emb_base", "rotary_pct", 0.25);
  c.qkv = QkvLayout::kPerHead;
  c.activation = ReadActivation(r, "hidden_act", "gelu");
  c.tied_head = r.Bool("tie_word_embeddings", false);
  const double hidden = r.Real("hidden_dropout", 0);
  c.dropout = {.embedding = hidden, .hidden = hidden, .attention = r.Real("attention_dropout", 0)};
  c.initializer_range = r.Real("initializer_range", 0.02);
  return c;
}

TransformerConfig ReadOpt(const ConfigReader& r) {
  TransformerConfig c;
  ReadSizes(r, c);
  c.vocab = r.Size("vocab_size");
  c.positions = r.Size("max_position_embeddings");
  c.ffn = r.Size("ffn_dim");
  c.norm_eps = 1e-5;  // fixed in the model's code
  c.position = PositionKind::kMasked;
  FinishHeads(r, c, false);
  r.Only("do_layer_norm_before", true);
  r.Only("_remove_final_layer_norm", false);
  r.Only("layer_norm_elementwise_affine", true);
  if (r.Int("word_embed_proj_dim", c.hidden) != c.hidden) r.Unsupported("word_embed_proj_dim");
  if (r.Real("layerdrop", 0) != 0) r.Unsupported("layerdrop");
  c.activation = ReadActivation(r, "activation_function", "relu");
  c.tied_head = r.Bool("tie_word_embeddings", true);
  const double hidden = r.Real("dropout", 0.1);
  c.dropout = {.hidden = hidden, .attention = r.Real("attention_dropout", 0)};
  c.initializer_range = r.Real("init_std", 0.02);
  return c;
}

TransformerConfig ReadBert(const ConfigReader& r) {
  TransformerConfig c;
  ReadSizes(r, c);
  c.vocab = r.Size("vocab_size");
  c.positions = r.Size("max_position_embeddings");
  c.ffn = r.Size("intermediate_size");
  c.norm_eps = r.Real("layer_norm_eps", 1e-12);
  c.block = BlockKind::kPost;
  c.position = PositionKind::kIndex;
  c.causal = false;
  FinishHeads(r, c, false);
  r.Only("position_embedding_type", "absolute");
  r.Only("is_decoder", false);
  r.Only("add_cross_attention", false);
  c.activation = ReadActivation(r, "hidden_act", "gelu");
  c.mlm_activation = c.activation;
  c.tied_head = r.Bool("tie_word_embeddings", true);
  c.pooling = Pooling::kPooler;
  const double hidden = r.Real("hidden_dropout_prob", 0.1);
  c.dropout = {.embedding = hidden,
               .hidden = hidden,
               .attention = r.Real("attention_probs_dropout_prob", 0.1),
               .classifier = r.Real("classifier_dropout", hidden)};
  c.initializer_range = r.Real("initializer_range", 0.02);
  return c;
}

TransformerConfig ReadBertPreln(const ConfigReader& r) {
  TransformerConfig c = ReadBert(r);
  c.block = BlockKind::kPre;
  return c;
}

TransformerConfig ReadRoberta(const ConfigReader& r) {
  TransformerConfig c = ReadBert(r);
  c.position = PositionKind::kPadding;
  c.pooling = Pooling::kFirst;
  c.pad_token = r.Int("pad_token_id", 1);
  if (c.pad_token < 0) throw DataError("must not be negative", r.where() + ": pad_token_id");
  c.positions -= c.pad_token + 1;  // the table starts with unused rows
  if (c.positions < 1) throw DataError("too small", r.where() + ": max_position_embeddings");
  c.mlm_activation = Nonlinearity::kGelu;  // fixed in the model's code
  return c;
}

TransformerConfig ReadDistilbert(const ConfigReader& r) {
  TransformerConfig c;
  c.layers = r.Size("n_layers");
  c.hidden = r.Size("dim");
  c.heads = c.kv_heads = r.Size("n_heads");
  c.vocab = r.Size("vocab_size");
  c.positions = r.Size("max_position_embeddings");
  c.ffn = r.Size("hidden_dim");
  c.norm_eps = 1e-12;  // fixed in the model's code
  c.block = BlockKind::kPost;
  c.position = PositionKind::kIndex;  // sinusoids, where used, are stored as a table too
  c.causal = false;
  FinishHeads(r, c, false);
  c.activation = ReadActivation(r, "activation", "gelu");
  c.mlm_activation = c.activation;
  c.classifier_activation = Nonlinearity::kRelu;
  c.tied_head = r.Bool("tie_word_embeddings", true);
  const double hidden = r.Real("dropout", 0.1);
  c.dropout = {.embedding = hidden,
               .hidden = hidden,
               .attention = r.Real("attention_dropout", 0.1),
               .classifier = r.Real("seq_classif_dropout", 0.2)};
  c.initializer_range = r.Real("initializer_range", 0.02);
  return c;
}

void ReadImage(const ConfigReader& r, TransformerConfig& c, int64_t default_patch) {
  std::tie(c.image_height, c.image_width) = r.Extent("image_size", 224);
  std::tie(c.patch_height, c.patch_width) = r.Extent("patch_size", default_patch);
  c.channels = r.Int("num_channels", 3);
  if (c.image_height < c.patch_height || c.image_width < c.patch_width || c.channels < 1) {
    throw DataError("image smaller than a patch", r.where());
  }
  c.positions = (c.image_height / c.patch_height) * (c.image_width / c.patch_width);
  c.position = PositionKind::kImage;
  c.causal = false;
}

TransformerConfig ReadVit(const ConfigReader& r) {
  TransformerConfig c;
  ReadSizes(r, c);
  c.norm_eps = r.Real("layer_norm_eps", 1e-12);
  FinishHeads(r, c, false);
  ReadImage(r, c, 16);
  c.activation = ReadActivation(r, "hidden_act", "gelu");
  c.pooler_activation = ReadActivation(r, "pooler_act", "tanh");
  const double hidden = r.Real("hidden_dropout_prob", 0);
  c.dropout = {.embedding = hidden,
               .hidden = hidden,
               .attention = r.Real("attention_probs_dropout_prob", 0),
               .path = r.Real("drop_path_rate", 0)};
  c.initializer_range = r.Real("initializer_range", 0.02);
  c.ffn = r.Has("intermediate_size") ? r.Size("intermediate_size") : 4 * c.hidden;
  return c;
}

TransformerConfig ReadDinov2(const ConfigReader& r) {
  TransformerConfig c = ReadVit(r);
  c.norm_eps = r.Real("layer_norm_eps", 1e-6);
  ReadImage(r, c, 14);
  const double ratio = r.Real("mlp_ratio", 4);
  c.ffn = static_cast<int64_t>(static_cast<double>(c.hidden) * ratio);
  r.Only("use_swiglu_ffn", false);
  c.pooling = Pooling::kFirstAndMean;
  return c;
}

// timm fixes epsilon at 1e-6 in its code.
TransformerConfig ReadVitTimm(const ConfigReader& r) {
  TransformerConfig c = ReadVit(r);
  c.norm_eps = r.Real("layer_norm_eps", 1e-6);
  c.qkv = QkvLayout::kBlocks;
  const std::string pool = r.String("global_pool", "token");
  if (pool == "avg") {
    c.pooling = Pooling::kMean;
  } else if (pool != "token") {
    r.Unsupported("global_pool", "known: token, avg");
  }
  return c;
}

using Reader = TransformerConfig (*)(const ConfigReader&);

const std::map<std::string, Reader, std::less<>>& Readers() {
  static const std::map<std::string, Reader, std::less<>> kReaders = {
      {"bert", ReadBert},
      {"bert_preln", ReadBertPreln},
      {"deit", ReadVit},
      {"dinov2", ReadDinov2},
      {"distilbert", ReadDistilbert},
      {"gemma", ReadGemma},
      {"gemma2", ReadGemma2},
      {"gpt2", ReadGpt2},
      {"gpt_neox", ReadGptNeox},
      {"llama", ReadLlama},
      {"mistral", ReadMistral},
      {"mixtral", ReadMixtral},
      {"olmo2", ReadOlmo2},
      {"opt", ReadOpt},
      {"phi3", ReadPhi3},
      {"qwen2", ReadQwen2},
      {"qwen3", ReadQwen3},
      {"qwen3_moe", ReadQwen3Moe},
      {"roberta", ReadRoberta},
      {"vit", ReadVit},
      {"timm_vit", ReadVitTimm},
  };
  return kReaders;
}

}  // namespace

TransformerConfig ParseTransformerConfig(const nlohmann::ordered_json& config,
                                         std::string_view model_type) {
  const ConfigReader reader(config, "config.json");
  const auto it = Readers().find(model_type);
  if (it == Readers().end()) {
    throw ImpossibleError("no forward pass for model_type " + std::string(model_type),
                          "config.json");
  }
  reader.Absent("quantization_config");
  TransformerConfig c = it->second(reader);
  c.model_type = model_type;
  if (c.layer_is_sliding.empty()) {
    c.layer_is_sliding.assign(static_cast<size_t>(c.layers), false);
  }
  if (c.moe.experts > 0 &&
      (c.moe.experts_per_token < 1 || c.moe.experts_per_token > c.moe.experts)) {
    throw DataError("must be between 1 and the number of experts",
                    "config.json: num_experts_per_tok");
  }
  if (c.norm_eps <= 0) throw DataError("norm epsilon must be positive", "config.json");
  return c;
}

}  // namespace orchard::nn
