#include "expand/verify.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/hash.h"
#include "base/philox.h"
#include "expand/deviation.h"
#include "expand/provenance.h"
#include "expand/verify_resnet.h"
#include "io/text/encoding.h"
#include "io/text/tokenizer.h"
#include "nn/loss.h"
#include "nn/model_directory.h"
#include "nn/network.h"
#include "nn/transformer.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;

// ---- inputs
// ---------------------------------------------------------------------------------------------------------------------

at::Tensor RandomTokens(const nn::TransformerConfig& config, int64_t batch, int64_t length,
                        uint64_t seed) {
  const int64_t longest = config.positions > 0 ? std::min(length, config.positions) : length;
  at::Tensor tokens = at::empty({batch, longest}, at::kLong);
  const Philox2 key = PhiloxKey(seed, Hash64("verify tokens"));
  int64_t* out = tokens.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < tokens.numel(); ++i) {
    out[i] =
        static_cast<int64_t>(static_cast<uint64_t>(PhiloxAt(key, i).word[0]) * config.vocab >> 32);
  }
  return tokens;
}

// The first `batch` lines of a text, cut to `length` tokens, padded with the tokenizer's padding.
nn::Batch TextBatch(const fs::path& text, const fs::path& model, int64_t batch, int64_t length) {
  const text::Tokenizer tokenizer = text::Tokenizer::Open(model);
  std::ifstream in(text);
  if (!in) throw DataError("cannot open the text", text.string());
  std::vector<std::vector<int64_t>> rows;
  size_t longest = 0;
  for (std::string line; static_cast<int64_t>(rows.size()) < batch && std::getline(in, line);) {
    if (line.empty()) continue;
    const std::vector<int32_t> ids = tokenizer.Encode(line, {.pad = false}).ids;
    rows.emplace_back(ids.begin(), ids.begin() + std::min<size_t>(ids.size(), length));
    longest = std::max(longest, rows.back().size());
  }
  if (rows.empty()) throw DataError("no text in it", text.string());
  const auto n = static_cast<int64_t>(rows.size()), width = static_cast<int64_t>(longest);
  nn::Batch result;
  result.tokens = at::zeros({n, width}, at::kLong);
  result.attention_mask = at::zeros({n, width}, at::kLong);
  for (int64_t i = 0; i < n; ++i) {
    for (size_t t = 0; t < rows[i].size(); ++t) {
      result.tokens[i][static_cast<int64_t>(t)] = rows[i][t];
      result.attention_mask[i][static_cast<int64_t>(t)] = 1;
    }
  }
  return result;
}

nn::Batch MakeBatch(const nn::ModelDirectory& model, const fs::path& path,
                    const VerifyOptions& options, uint64_t seed) {
  const nn::TransformerConfig& config = model.config();
  nn::Batch batch;
  if (config.is_image()) {
    batch.images =
        VerifyImages(options, config.channels, config.image_height, config.image_width, seed);
  } else if (!options.tokens.empty()) {
    batch = TextBatch(options.tokens, path, options.batch, options.length);
  } else {
    batch.tokens = RandomTokens(config, options.batch, options.length, seed);
  }
  return batch;
}

// ---- one layer at a time
// --------------------------------------------------------------------------------------------------------

// A model of which one part is in memory.
class StreamedModel {
 public:
  StreamedModel(const fs::path& path, const arch::Architecture* architecture,
                at::ScalarType compute)
      : directory_(nn::ModelDirectory::Open(path, architecture)),
        compute_(compute),
        frame_(Load(-1)) {}

  const nn::ModelDirectory& directory() const { return directory_; }
  const nn::TransformerConfig& config() const { return directory_.config(); }
  int64_t largest_bytes() const { return largest_bytes_; }

  void Begin(const nn::Batch& batch) {
    sequence_ = frame_.Prepare(batch);
    x_ = frame_.Embed(batch);
  }
  void Advance(int64_t layer) { x_ = Load(layer).Layer(layer, x_, sequence_); }
  nn::ModelOutput Head() const { return frame_.Head(x_, sequence_); }
  const at::Tensor& x() const { return x_; }

 private:
  nn::Transformer Load(int64_t layer) {
    nn::Parameters parameters = directory_.Load({.dtype = compute_, .layer = layer});
    int64_t bytes = 0;
    for (const nn::Parameter& p : parameters.all()) bytes += static_cast<int64_t>(p.value.nbytes());
    largest_bytes_ = std::max(largest_bytes_, bytes);
    return nn::Transformer(directory_.config(), std::move(parameters), compute_);
  }

  nn::ModelDirectory directory_;
  at::ScalarType compute_;
  int64_t largest_bytes_ = 0;
  nn::Transformer frame_;  // all but the layers
  nn::Sequence sequence_;
  at::Tensor x_;
};

// Every copy of a vector that is as wide as the residual stream.
Deviation CompareCopies(const std::string& place, const at::Tensor& source,
                        const at::Tensor& target) {
  Deviation d{.place = place};
  const int64_t width = source.size(-1);
  for (int64_t at = 0; at + width <= target.size(-1); at += width) {
    d.largest = std::max(d.largest, Largest(target.narrow(-1, at, width) - source));
  }
  d.relative = d.largest / std::max(Largest(source), 1e-300);
  return d;
}

// Pairwise cosines of mean-pooled hidden states [N, T, D].
at::Tensor SentenceCosines(const at::Tensor& hidden, const at::Tensor& padding) {
  const at::Tensor weights = padding.defined()
                                 ? padding.to(hidden.scalar_type()).unsqueeze(-1)
                                 : at::ones({hidden.size(0), hidden.size(1), 1}, hidden.options());
  const at::Tensor pooled = (hidden * weights).sum(1) / weights.sum(1);
  const at::Tensor unit = pooled / pooled.norm(2, -1, true);
  return at::mm(unit, unit.t());
}

void CompareHidden(const nn::ModelOutput& source, const nn::ModelOutput& target,
                   const nn::Batch& batch, VerifyResult& result) {
  result.outputs.push_back(CompareCopies("hidden states", source.hidden, target.hidden));
  if (source.hidden.size(0) > 1) {
    result.cosine_difference =
        Largest(SentenceCosines(target.hidden.to(at::kDouble), batch.attention_mask) -
                SentenceCosines(source.hidden.to(at::kDouble), batch.attention_mask));
  }
}

void CompareOutputs(const nn::ModelOutput& source, const nn::ModelOutput& target,
                    const nn::Batch& batch, bool causal, VerifyResult& result) {
  if (source.token_logits.defined()) {
    result.outputs.push_back(
        CompareOutput("token logits", source.token_logits, target.token_logits));
    CompareLogits(source.token_logits, target.token_logits, result);
    if (causal && batch.tokens.size(1) > 1) {
      const at::Tensor next = nn::NextTokens(batch.tokens, batch.attention_mask);
      result.loss_source = nn::TokenLoss(source.token_logits, next).to(at::kDouble).item<double>();
      result.loss_target = nn::TokenLoss(target.token_logits, next).to(at::kDouble).item<double>();
    }
  }
  if (source.class_logits.defined()) {
    result.outputs.push_back(
        CompareOutput("class logits", source.class_logits, target.class_logits));
    CompareLogits(source.class_logits, target.class_logits, result);
  }
  if (result.outputs.empty()) CompareHidden(source, target, batch, result);
  if (source.pooled.defined() && target.pooled.defined()) {
    result.outputs.push_back(CompareCopies("pooled", source.pooled, target.pooled));
  }
}

}  // namespace

VerifyResult Verify(const fs::path& source_path, const fs::path& target_path,
                    const VerifyOptions& options, uint64_t seed, const fs::path& arch_map,
                    const std::function<void(int64_t, int64_t)>& on_layer) {
  const c10::NoGradGuard no_grad;
  if (arch_map.empty() && nn::HoldsResNet(source_path)) {
    return VerifyResNet(source_path, target_path, options, seed, on_layer);
  }
  const at::ScalarType compute = ToScalarType(options.compute);
  std::optional<arch::Architecture> own;
  if (!arch_map.empty()) own = arch::LoadArchitecture(arch_map);
  StreamedModel source(source_path, own ? &*own : nullptr, compute);
  StreamedModel target(target_path, own ? &*own : nullptr, compute);
  const Provenance provenance =
      ReadProvenance(target_path, target.directory().architecture(), source.config().layers,
                     target.config().layers, source.config().hidden, target.config().hidden);
  const nn::Batch batch = MakeBatch(source.directory(), source_path, options, seed);

  VerifyResult result;
  result.exactness = provenance.exactness;
  result.tolerance = options.tolerance.value_or(
      AutomaticTolerance(provenance.exactness, provenance.epsilon, options.compute,
                         target.config().layers, target.directory().checkpoint()));
  source.Begin(batch);
  target.Begin(batch);
  const auto compare = [&](const std::string& place, int64_t passed) {
    if (!provenance.known) return;
    result.layers.push_back(
        CompareStream(place, source.x(), target.x(), provenance.residual, -1,
                      provenance.mean_padding ? PaddingPromise::kMean : PaddingPromise::kZero));
    result.layers.back().layers = passed;
  };
  compare("embedding", 0);
  const int64_t layers = target.config().layers;
  int64_t source_layer = 0;
  for (int64_t t = 0; t < layers; ++t) {
    target.Advance(t);
    if (!provenance.layers[t].neutral && source_layer < source.config().layers)
      source.Advance(source_layer++);
    // In a Post-LN model the norm before a new layer is plain; its own gain comes at the end of the
    // new layers.
    const bool between = provenance.post_norm && t + 1 < layers && provenance.layers[t + 1].neutral;
    if (!between) compare("layer " + std::to_string(t), t + 1);
    if (on_layer) on_layer(t + 1, layers);
  }
  while (source_layer < source.config().layers) source.Advance(source_layer++);
  CompareOutputs(source.Head(), target.Head(), batch, source.config().causal, result);

  Conclude(result);
  result.source_bytes = source.largest_bytes();
  result.target_bytes = target.largest_bytes();
  return result;
}

}  // namespace orchard::expand
