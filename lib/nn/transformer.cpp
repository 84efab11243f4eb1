#include "nn/transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/result_type.h>

#include <string>

#include "base/error.h"
#include "nn/attention.h"
#include "nn/embedding.h"
#include "nn/mlp.h"

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
  if (post_norm.defined()) update = Norm(config_, update, post_norm);
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
  return DropoutAdd(update, residual.to(at::result_type(residual, update)), hidden, random);
}

at::Tensor Transformer::Layer(int64_t layer, const at::Tensor& x, const Sequence& sequence,
                              const TrainingContext* training) const {
  if (layer < 0 || layer >= config_.layers) {
    throw UsageError("no layer " + std::to_string(layer));
  }
  const LayerWeights w = FindLayerWeights(config_, parameters_, layer, compute_);
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
      const at::Tensor y = join(x, attend(Norm(config_, x, w.attn_norm)), true);
      return join(y, Mlp(config_, w, Norm(config_, y, w.mlp_norm)), false);
    }
    case BlockKind::kPost: {
      const at::Tensor y = Norm(config_, join(x, attend(x), true), w.attn_norm);
      return Norm(config_, join(y, Mlp(config_, w, y), false), w.mlp_norm);
    }
    case BlockKind::kPostResidual: {
      const at::Tensor y = join(x, attend(x), true);
      return join(y, Mlp(config_, w, y), false);
    }
    case BlockKind::kParallel:
      break;
  }
  const at::Tensor y = join(x, attend(Norm(config_, x, w.attn_norm)), true);
  return join(y, Mlp(config_, w, Norm(config_, x, w.mlp_norm)), false);
}

ModelOutput Transformer::Head(const at::Tensor& x, const Sequence& sequence) const {
  return ModelHead(config_, FindHeadWeights(config_, parameters_, compute_), x, sequence);
}

ModelOutput Transformer::Forward(const Batch& batch, const TrainingContext* training,
                                 const Observer& observe) const {
  const Sequence sequence = Prepare(batch);
  at::Tensor x = Embed(batch, training);
  if (observe) observe(0, x);
  for (int64_t i = 0; i < config_.layers; ++i) {
    x = Layer(i, x, sequence, training);
    if (observe) observe(i + 1, x);
  }
  return Head(x, sequence);
}

}  // namespace orchard::nn
