#include "nn/transformer_lm.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "arch/architecture.h"
#include "base/error.h"
#include "nn/initialise.h"
#include "nn/transformer.h"
#include "nn/transformer_config.h"

namespace orchard::nn {
namespace {

constexpr std::string_view kPrefix = "gpt2:";

struct LmSize {
  int64_t layers = 0, width = 0, heads = 0;
};

LmSize ParseSize(std::string_view text) {
  const auto fail = [&](const char* what) {
    throw UsageError("'" + std::string(text) + "' " + what, "model.arch",
                     "gpt2:LAYERS-WIDTH-HEADS, for example gpt2:4-128-4");
  };
  std::array<int64_t, 3> numbers{};
  std::string_view rest = text.starts_with(kPrefix) ? text.substr(kPrefix.size()) : "";
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), numbers[i]);
    if (error != std::errc() || numbers[i] < 1) fail("is no language model");
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    if (i + 1 == numbers.size()) break;
    if (!rest.starts_with('-')) fail("is no language model");
    rest.remove_prefix(1);
  }
  if (!rest.empty()) fail("is no language model");
  const LmSize size{numbers[0], numbers[1], numbers[2]};
  if (size.width % size.heads != 0) fail("has a width that its heads do not divide");
  return size;
}

// In the order of their use, which messages that leave during the backward pass go by: embeddings,
// layer by layer, the last norm.
Parameters InOrderOfUse(const Parameters& parameters, int64_t layers) {
  constexpr std::string_view kLayer = "layer.";
  constexpr std::array<std::string_view, 6> kParts = {"attn_norm", "qkv", "o",
                                                      "mlp_norm",  "fc1", "fc2"};
  const auto place = [&](const Parameter& p) -> std::pair<int64_t, int64_t> {
    if (!p.slot.starts_with(kLayer)) return {p.slot.starts_with("embed.") ? -1 : layers, 0};
    const size_t dot = p.slot.find('.', kLayer.size());
    const std::string part = p.slot.substr(dot + 1, p.slot.rfind('.') - dot - 1);
    return {std::stoll(p.slot.substr(kLayer.size())),
            std::find(kParts.begin(), kParts.end(), part) - kParts.begin()};
  };
  std::vector<Parameter> all = parameters.all();
  std::stable_sort(all.begin(), all.end(),
                   [&](const Parameter& a, const Parameter& b) { return place(a) < place(b); });
  Parameters sorted;
  for (Parameter& p : all) sorted.Add(std::move(p));
  return sorted;
}

class TransformerLm : public Classifier {
 public:
  explicit TransformerLm(Transformer transformer) : transformer_(std::move(transformer)) {}

  at::Tensor Forward(const at::Tensor& tokens, bool) const override {
    return transformer_.Forward({.tokens = tokens}).token_logits.flatten(0, 1);
  }
  const Parameters& parameters() const override { return transformer_.parameters(); }

 private:
  Transformer transformer_;
};

}  // namespace

nlohmann::ordered_json TransformerLmConfig(std::string_view text, const TransformerLmOptions& o) {
  const LmSize size = ParseSize(text);
  return {{"model_type", "gpt2"},       {"architectures", {"GPT2LMHeadModel"}},
          {"vocab_size", o.vocabulary}, {"n_positions", o.context},
          {"n_embd", size.width},       {"n_layer", size.layers},
          {"n_head", size.heads},       {"activation_function", "gelu_new"},
          {"layer_norm_epsilon", 1e-5}, {"initializer_range", 0.02},
          {"resid_pdrop", 0.0},         {"embd_pdrop", 0.0},
          {"attn_pdrop", 0.0},          {"bos_token_id", nullptr},
          {"eos_token_id", nullptr},    {"tie_word_embeddings", true}};
}

std::unique_ptr<Classifier> MakeTransformerLm(std::string_view text,
                                              const TransformerLmOptions& options) {
  const arch::Architecture& gpt2 = arch::FindArchitecture("gpt2");
  const arch::Json config = TransformerLmConfig(text, options);
  const Parameters fresh = InitialiseTransformer(
      gpt2, config, {.task = Task::kNextToken, .seed = options.seed, .dtype = at::kFloat});
  TransformerConfig model = ParseTransformerConfig(config, gpt2.model_type);
  Parameters parameters = InOrderOfUse(fresh, model.layers);
  return std::make_unique<TransformerLm>(
      Transformer(std::move(model), std::move(parameters), at::kFloat));
}

}  // namespace orchard::nn
