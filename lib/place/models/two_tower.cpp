// Queries and items, each through an embedding and a multi-layer perceptron of its own; every query
// of the batch is scored against every item.
#include <fmt/format.h>

#include "place/models/layers.h"
#include "place/models/models.h"

namespace orchard::place {
namespace {

struct Sizes {
  int64_t batch, bag, rows, embedding, width, layers;
};

Value Tower(ModelBuilder& builder, const std::string& name, int32_t expert, const Sizes& sizes) {
  const ModelBuilder::Scope scope(builder, name, {.expert = expert});
  const Value ids = builder.Source("ids", "Input", {sizes.batch, sizes.bag});
  const Dims bagged = {sizes.batch, sizes.embedding};
  Value x = builder.Add({.name = "embedding",
                         .type = "EmbeddingBag",
                         .flops = static_cast<double>(ids.elements() * sizes.embedding),
                         .parameters = sizes.rows * sizes.embedding,
                         .outputs = {bagged},
                         .traffic = 4 * (ids.elements() * sizes.embedding + Elements(bagged)),
                         .keeps_inputs = true},
                        {ids});
  for (int64_t k = 0; k < sizes.layers; ++k) {
    const ModelBuilder::Scope layer(builder, fmt::format("layer{}", k), {.block_type = "Dense"});
    x = Activation(builder, "relu", "ReLU", Linear(builder, "linear", x, sizes.width, true));
  }
  return Linear(builder, "output", x, sizes.embedding, true);
}

}  // namespace

Model TwoTower(const ModelOptions& options) {
  const Sizes sizes{.batch = options.batch.value_or(1024),
                    .bag = options.length.value_or(20),
                    .rows = options.vocabulary.value_or(1'000'000),
                    .embedding = 128,
                    .width = options.hidden.value_or(2048),
                    .layers = options.layers.value_or(4)};
  ModelBuilder builder(fmt::format("Two towers of {} layers, batch {}, on {}", sizes.layers,
                                   sizes.batch, options.preset),
                       options);
  const Value query = Tower(builder, "query", 0, sizes);
  const Value item = Tower(builder, "item", static_cast<int32_t>(options.gpus > 1), sizes);
  const ModelBuilder::Scope scope(builder, "score", {.expert = 0});
  const Value scores =
      BatchMatMul(builder, "dot", query, item, {sizes.batch, sizes.batch}, sizes.embedding);
  CrossEntropy(builder, "loss", scores, builder.Source("label", "Input", {sizes.batch}));
  return builder.Build();
}

}  // namespace orchard::place
