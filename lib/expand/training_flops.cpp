#include "expand/training_flops.h"

#include <set>
#include <string>

namespace orchard::expand {
namespace {

const std::set<std::string> kNotCounted = {"embed.token", "embed.position", "embed.type",
                                           "embed.cls",   "embed.dist",     "embed.mask",
                                           "head.weight"};

int64_t Length(const nn::Transformer& model, const nn::Batch& batch) {
  if (batch.tokens.defined()) return batch.tokens.size(1);
  const nn::Parameters& p = model.parameters();
  return model.config().positions + (p.Has("embed.cls") ? 1 : 0) + (p.Has("embed.dist") ? 1 : 0);
}

}  // namespace

double TrainingFlops(const nn::Network& network, const nn::Batch& batch) {
  const nn::Transformer* model = network.transformer();
  if (model == nullptr) return 0;
  double parameters = 0;
  for (const nn::Parameter& p : model->parameters().all()) {
    if (!kNotCounted.contains(p.slot)) parameters += static_cast<double>(p.value.numel());
  }
  const int64_t rows = batch.tokens.defined() ? batch.tokens.size(0) : batch.images.size(0);
  const int64_t length = Length(*model, batch);
  const nn::TransformerConfig& c = model->config();
  const double attention = 12.0 * static_cast<double>(c.layers * c.hidden * length);
  return static_cast<double>(rows * length) * (6 * parameters + attention);
}

}  // namespace orchard::expand
