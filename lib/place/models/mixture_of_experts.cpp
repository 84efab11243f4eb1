// Layers of self-attention and a mixture of experts: a gate sends each token to `top_k` experts of
// bounded capacity, and their answers are added up by the gate's weights.
#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "place/models/layers.h"
#include "place/models/models.h"

namespace orchard::place {
namespace {

constexpr double kCapacityFactor = 1.25;  // of an expert, over an equal share of the tokens

struct Sizes {
  int64_t tokens, width, inner, experts, top_k, gpus;
  // Tokens that one expert takes.
  int64_t Capacity() const {
    return static_cast<int64_t>(std::ceil(kCapacityFactor * static_cast<double>(tokens * top_k) /
                                          static_cast<double>(experts)));
  }
};

// `name` is unique in the graph: it names the groups.
Value Mixture(ModelBuilder& builder, const std::string& name, const Value& x, const Sizes& sizes) {
  const ModelBuilder::Scope scope(builder, "mixture");
  const Value gate =
      Softmax(builder, "gate_softmax", Linear(builder, "gate", x, sizes.experts, false));
  const int64_t capacity = sizes.Capacity();
  const std::vector<Value> dispatched =
      builder.AddAll({.name = "dispatch",
                      .type = "Dispatch",
                      .flops = static_cast<double>(gate.elements()),
                      .outputs = std::vector<Dims>(sizes.experts, Dims{capacity, sizes.width}),
                      .kept = sizes.tokens * sizes.top_k * 8},
                     {x, gate});
  std::vector<Value> answers = {gate};
  for (int64_t e = 0; e < sizes.experts; ++e) {
    const ModelBuilder::Scope expert(builder, fmt::format("expert{}", e),
                                     {.group = fmt::format("{}/expert{}", name, e),
                                      .expert = static_cast<int32_t>(e % sizes.gpus),
                                      .block_type = "Expert"});
    const Value hidden = Activation(builder, "relu", "ReLU",
                                    Linear(builder, "inner", dispatched[e], sizes.inner, true));
    answers.push_back(Linear(builder, "outer", hidden, sizes.width, true));
  }
  const Value combined =
      builder.Add({.name = "combine",
                   .type = "Combine",
                   .flops = 2 * static_cast<double>(sizes.tokens * sizes.top_k * sizes.width),
                   .outputs = {x.dims},
                   .keeps_inputs = true},
                  answers);
  return LayerNorm(builder, "norm", Plus(builder, "residual", {combined, x}));
}

}  // namespace

Model MixtureOfExperts(const ModelOptions& options) {
  const int64_t batch = options.batch.value_or(8), length = options.length.value_or(256);
  const int64_t heads = options.heads.value_or(8), layers = options.layers.value_or(6);
  const int64_t vocabulary = options.vocabulary.value_or(30000);
  const Sizes sizes{.tokens = batch * length,
                    .width = options.hidden.value_or(1024),
                    .inner = options.ffn.value_or(4096),
                    .experts = options.experts.value_or(8),
                    .top_k = options.top_k.value_or(2),
                    .gpus = options.gpus};
  if (sizes.width % heads != 0) throw UsageError("the heads do not divide the width", "--heads");
  if (sizes.top_k > sizes.experts)
    throw UsageError(fmt::format("{} of {} experts", sizes.top_k, sizes.experts), "--top-k");
  ModelBuilder builder(fmt::format("Mixture of {} experts, {} layers, batch {} of length {}, on {}",
                                   sizes.experts, layers, batch, length, options.preset),
                       options);
  // A person gives each device some layers, and deals the experts out.
  const auto stage = [&](int64_t layer) {
    return static_cast<int32_t>(layer * options.gpus / layers);
  };
  Value x;
  {
    const ModelBuilder::Scope scope(builder, "input", {.expert = 0});
    x = Embedding(builder, "embedding", builder.Source("ids", "Input", {batch, length}), vocabulary,
                  sizes.width);
  }
  for (int64_t k = 0; k < layers; ++k) {
    const std::string name = fmt::format("layer{}", k);
    const ModelBuilder::Scope scope(builder, name, {.expert = stage(k)});
    x = AttentionBlock(builder, "self_attention", x, x, heads);
    x = Mixture(builder, name, x, sizes);
  }
  const ModelBuilder::Scope scope(builder, "output", {.expert = stage(layers - 1)});
  const Value logits = Linear(builder, "projection", x, vocabulary, false);
  CrossEntropy(builder, "loss", logits, builder.Source("label", "Input", {batch, length}));
  return builder.Build();
}

}  // namespace orchard::place
