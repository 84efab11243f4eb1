#include "unit/nn/tiny_models.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <map>
#include <nlohmann/json.hpp>

#include "nn/random_tensor.h"

namespace orchard::nn {
namespace {

const char* kDecoder =
    R"({"vocab_size": 31, "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2,
  "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 32, "rms_norm_eps": 1e-3})";
const char* kEncoder =
    R"({"vocab_size": 31, "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2,
  "num_attention_heads": 3, "max_position_embeddings": 32, "layer_norm_eps": 1e-3, "pad_token_id": 1})";
const char* kImage =
    R"({"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3,
  "image_size": [8, 12], "patch_size": 4, "layer_norm_eps": 1e-3})";

const std::map<std::string, std::pair<const char*, const char*>>& Configs() {
  static const std::map<std::string, std::pair<const char*, const char*>> kConfigs = {
      {"llama", {kDecoder, "{}"}},
      {"mistral", {kDecoder, R"({"sliding_window": 4})"}},
      {"qwen2", {kDecoder, "{}"}},
      {"qwen3", {kDecoder, "{}"}},
      {"gemma", {kDecoder, "{}"}},
      {"gemma2", {kDecoder, R"({"sliding_window": 4, "query_pre_attn_scalar": 5,
        "attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0})"}},
      {"phi3", {kDecoder, R"({"head_dim": null, "num_attention_heads": 6})"}},
      {"olmo2", {kDecoder, R"({"head_dim": null})"}},
      {"mixtral", {kDecoder, R"({"num_local_experts": 4})"}},
      {"qwen3_moe",
       {kDecoder, R"({"num_experts": 4, "num_experts_per_tok": 3, "moe_intermediate_size": 10})"}},
      {"gpt2",
       {R"({"vocab_size": 31, "n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": 32})", "{}"}},
      {"gpt_neox", {kEncoder, R"({"rotary_pct": 0.5})"}},
      {"opt",
       {R"({"vocab_size": 31, "hidden_size": 12, "ffn_dim": 20, "num_hidden_layers": 2,
        "num_attention_heads": 3, "max_position_embeddings": 32})",
        "{}"}},
      {"bert", {kEncoder, "{}"}},
      {"bert_preln", {kEncoder, "{}"}},
      {"roberta", {kEncoder, "{}"}},
      {"distilbert",
       {R"({"vocab_size": 31, "dim": 12, "hidden_dim": 20, "n_layers": 2, "n_heads": 3,
        "max_position_embeddings": 32})",
        "{}"}},
      {"vit", {kImage, "{}"}},
      {"deit", {kImage, "{}"}},
      {"dinov2", {kImage, R"({"mlp_ratio": 2})"}},
      {"timm_vit", {kImage, "{}"}},
  };
  return kConfigs;
}

}  // namespace

arch::Json Merge(arch::Json config, const std::string& more_json) {
  config.update(arch::Json::parse(more_json));
  return config;
}

arch::Json TinyConfig(const std::string& model_type) {
  const auto& [base, more] = Configs().at(model_type);
  return Merge(arch::Json::parse(base), more);
}

Task NaturalTask(const std::string& model_type) {
  const TransformerConfig config = ParseTransformerConfig(TinyConfig(model_type), model_type);
  if (config.is_image()) return Task::kClassify;
  return config.causal ? Task::kNextToken : Task::kMaskedTokens;
}

Transformer TinyModel(const std::string& model_type, const arch::Json& config,
                      at::ScalarType dtype) {
  Parameters parameters = InitialiseTransformer(
      arch::FindArchitecture(model_type), config,
      {.task = NaturalTask(model_type), .classes = 7, .seed = 5, .dtype = at::kDouble});
  const at::NoGradGuard no_grad;
  Parameters noisy;
  for (const Parameter& parameter : parameters.all()) {
    const at::Tensor noise =
        RandomNormal("noise " + parameter.name, parameter.value.sizes(), 0.3, 6, at::kDouble);
    noisy.Add({parameter.name, parameter.slot, (parameter.value + noise).to(dtype)});
  }
  return Transformer(ParseTransformerConfig(config, model_type), std::move(noisy), dtype);
}

Transformer TinyModel(const std::string& model_type) {
  return TinyModel(model_type, TinyConfig(model_type));
}

Batch TinyBatch(const Transformer& model, int64_t length) {
  const TransformerConfig& c = model.config();
  if (c.is_image()) {
    return {.images = RandomNormal("images", {2, c.channels, c.image_height, c.image_width}, 1, 7,
                                   at::kDouble)};
  }
  const at::Tensor uniform = RandomUniform("tokens", {2, length}, 1, 8, at::kDouble);
  const auto usable = static_cast<double>(c.vocab - 3);
  return {.tokens = ((uniform + 1) / 2 * usable).floor().to(at::kLong) + 3};
}

at::Tensor Logits(const ModelOutput& output) {
  return output.token_logits.defined() ? output.token_logits : output.class_logits;
}

double MaxDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item().toDouble();
}

}  // namespace orchard::nn
