// Transformer base: post-norm layers, learned tables for source, target and output apart.
#include <fmt/format.h>

#include "base/error.h"
#include "place/models/layers.h"
#include "place/models/models.h"

namespace orchard::place {
namespace {

Value FeedForward(ModelBuilder& builder, const Value& x, int64_t inner) {
  const ModelBuilder::Scope scope(builder, "feed_forward",
                                  {.block_type = "PositionwiseFeedForward"});
  Value y = Activation(builder, "relu", "ReLU", Linear(builder, "inner", x, inner, true));
  y = Dropout(builder, "dropout", Linear(builder, "outer", y, x.dims.back(), true));
  return LayerNorm(builder, "norm", Plus(builder, "residual", {y, x}));
}

Value Embed(ModelBuilder& builder, const Value& ids, int64_t vocabulary, int64_t width) {
  const Value tokens = Embedding(builder, "embedding", ids, vocabulary, width);
  const Value positions = builder.Source("positions", "Constant", {ids.dims[1], width});
  return Dropout(builder, "dropout", Plus(builder, "add_positions", {tokens, positions}));
}

}  // namespace

Model TransformerBase(const ModelOptions& options) {
  const int64_t batch = options.batch.value_or(64), length = options.length.value_or(50);
  const int64_t width = options.hidden.value_or(512), inner = options.ffn.value_or(2048);
  const int64_t heads = options.heads.value_or(8), layers = options.layers.value_or(6);
  const int64_t vocabulary = options.vocabulary.value_or(30000);
  if (width % heads != 0) throw UsageError("the heads do not divide the width", "--heads");
  ModelBuilder builder(
      fmt::format("Transformer base, {0} + {0} layers, batch {1} of length {2}, on {3}", layers,
                  batch, length, options.preset),
      options);
  Value memory;
  {
    const ModelBuilder::Scope encoder(builder, "encoder", {.expert = 0});
    Value x = Embed(builder, builder.Source("source", "Input", {batch, length}), vocabulary, width);
    for (int64_t k = 0; k < layers; ++k) {
      const ModelBuilder::Scope layer(builder, fmt::format("layer{}", k));
      x = AttentionBlock(builder, "self_attention", x, x, heads);
      x = FeedForward(builder, x, inner);
    }
    memory = x;
  }
  const ModelBuilder::Scope decoder(builder, "decoder",
                                    {.expert = static_cast<int32_t>(options.gpus > 1)});
  Value x = Embed(builder, builder.Source("target", "Input", {batch, length}), vocabulary, width);
  for (int64_t k = 0; k < layers; ++k) {
    const ModelBuilder::Scope layer(builder, fmt::format("layer{}", k));
    x = AttentionBlock(builder, "self_attention", x, x, heads);
    x = AttentionBlock(builder, "cross_attention", x, memory, heads);
    x = FeedForward(builder, x, inner);
  }
  const Value logits = Linear(builder, "projection", x, vocabulary, false);
  CrossEntropy(builder, "loss", logits, builder.Source("label", "Input", {batch, length}));
  return builder.Build();
}

}  // namespace orchard::place
