#include "nn/transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/result_type.h>

#include <string>
#include <utility>

#include "base/error.h"
#include "nn/attention.h"
#include "nn/embedding.h"
#include "nn/mlp.h"
#include "nn/recompute.h"

namespace orchard::nn {

Transformer::Transformer(TransformerConfig config, Parameters parameters, at::ScalarType compute)
    : config_(std::move(config)), parameters_(std::move(parameters)), compute_(compute) {}

Sequence Transformer::Prepare(const Batch& batch) const {
  return PrepareSequence(config_, batch, compute_);
}

at::Tensor Transformer::Embed(const Batch& batch, const TrainingContext* training) const {
  return nn::Embed(config_, FindEmbeddingWeights(config_, parameters_), batch, training);
}

// residual + drop_path(dropout(scale * norm(update))): each part where the model has it.
at::Tensor Transformer::Join(const at::Tensor& residual, at::Tensor update,
                             const NormWeights& post_norm, const at::Tensor& scale,
                             const char* place, int64_t layer,
                             const TrainingContext* training) const {
  if (post_norm.defined()) update = Normalise(update, post_norm);
  if (scale.defined()) update = update * scale;
  if (training == nullptr) return residual + update;
  const DropoutRandom random = training->Random(place, layer);
  const double hidden = config_.dropout.hidden;
  if (config_.dropout.path > 0 && config_.layers > 1) {
    const double path =
        config_.dropout.path * static_cast<double>(layer) / static_cast<double>(config_.layers - 1);
    if (hidden > 0) update = Dropout(update, hidden, random);
    const DropoutRandom path_random = training->Random(std::string(place) + " path", layer);
    return residual + DropPath(update, path, path_random);
  }
  if (hidden == 0) return residual + update;
  // Products in 16 bits join a residual stream in f32.
  const at::ScalarType wide = at::result_type(residual, update);
  return DropoutAdd(update.to(wide), residual.to(wide), hidden, random);
}

at::Tensor Transformer::Layer(int64_t layer, const at::Tensor& x, const Sequence& sequence,
                              const TrainingContext* training) const {
  if (layer < 0 || layer >= config_.layers) {
    throw UsageError("no layer " + std::to_string(layer));
  }
  const LayerWeights w = FindLayerWeights(config_, parameters_, layer, compute_);
  if (!mask_) return Block(layer, w, x, sequence, training);
  return mask_->Join(layer, x, Block(layer, mask_->Apply(w), x, sequence, training));
}

at::Tensor Transformer::Block(int64_t layer, const LayerWeights& w, const at::Tensor& x,
                              const Sequence& sequence, const TrainingContext* training) const {
  const auto attend = [&](const at::Tensor& input) {
    return Attention(config_, w, layer, input, sequence, training);
  };
  const auto join = [&](const at::Tensor& residual, at::Tensor update, bool is_attention) {
    return Join(residual, std::move(update), is_attention ? w.attn_post_norm : w.mlp_post_norm,
                is_attention ? w.attn_scale : w.mlp_scale, is_attention ? "attention out" : "mlp",
                layer, training);
  };
  switch (config_.block) {
    case BlockKind::kPre:
    case BlockKind::kSandwich: {
      const at::Tensor y = join(x, attend(Normalise(x, w.attn_norm)), true);
      return join(y, Mlp(config_, w, Normalise(y, w.mlp_norm)), false);
    }
    case BlockKind::kPost: {
      const at::Tensor y = Normalise(join(x, attend(x), true), w.attn_norm);
      return Normalise(join(y, Mlp(config_, w, y), false), w.mlp_norm);
    }
    case BlockKind::kPostResidual: {
      const at::Tensor y = join(x, attend(x), true);
      return join(y, Mlp(config_, w, y), false);
    }
    case BlockKind::kParallel:
      break;
  }
  const at::Tensor y = join(x, attend(Normalise(x, w.attn_norm)), true);
  return join(y, Mlp(config_, w, Normalise(x, w.mlp_norm)), false);
}

at::Tensor Transformer::RecomputedLayer(int64_t layer, const at::Tensor& x,
                                        const Sequence& sequence,
                                        const TrainingContext& training) const {
  const std::string prefix = "layer." + std::to_string(layer) + ".";
  at::Tensor anchor;
  for (const Parameter& parameter : parameters_.all()) {
    if (!parameter.value.requires_grad() || !parameter.slot.starts_with(prefix)) continue;
    anchor = parameter.value;
    break;
  }
  if (!anchor.defined() && !x.requires_grad()) return Layer(layer, x, sequence, &training);
  // The backward pass runs this when the caller's sequence and context are gone.
  const auto step = [this, layer, sequence, training](const at::Tensor& input) {
    return Layer(layer, input, sequence, &training);
  };
  return Recomputed(step, x, anchor);
}

at::Tensor Transformer::Normalise(const at::Tensor& x, const NormWeights& norm) const {
  return Norm(config_, mask_ ? mask_->Fill(config_, x) : x, norm);
}

void Transformer::SetMask(std::optional<GrowthMask> mask) {
  if (mask && (config_.block == BlockKind::kPost || config_.block == BlockKind::kPostResidual)) {
    throw ImpossibleError("masked growth needs norms before the sub-blocks", config_.model_type);
  }
  mask_ = std::move(mask);
}

ModelOutput Transformer::Head(const at::Tensor& x, const Sequence& sequence,
                              const TrainingContext* training) const {
  return ModelHead(config_, FindHeadWeights(config_, parameters_, compute_),
                   mask_ ? mask_->Fill(config_, x) : x, sequence, training);
}

ModelOutput Transformer::Forward(const Batch& batch, const TrainingContext* training,
                                 const Observer& observe) const {
  const Sequence sequence = Prepare(batch);
  at::Tensor x = Embed(batch, training);
  if (observe) observe(0, x);
  for (int64_t i = 0; i < config_.layers; ++i) {
    x = training != nullptr && training->recompute_layers
            ? RecomputedLayer(i, x, sequence, *training)
            : Layer(i, x, sequence, training);
    if (observe) observe(i + 1, x);
  }
  return Head(x, sequence, training);
}

}  // namespace orchard::nn
