// One forward pass for every Transformer of the toolkit, driven by TransformerConfig: decoders
// (LLaMA, GPT-2, GPT-NeoX, OPT, ...), encoders (BERT, RoBERTa, ...), image encoders (ViT, DeiT,
// DINOv2) and mixtures of experts. Trainable by autograd.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>

#include "nn/growth_mask.h"
#include "nn/model_head.h"
#include "nn/parameters.h"
#include "nn/sequence.h"
#include "nn/training_context.h"
#include "nn/transformer_config.h"

namespace orchard::nn {

// A model need not be whole: one that holds the tensors of a single layer can run that layer, so
// that a checkpoint larger than memory is computed layer by layer. Throws DataError, naming the
// slot, when a tensor that is needed is missing.
class Transformer {
 public:
  // `compute` is the dtype of the matrix products; parameters of another dtype are cast on use and
  // gradients arrive in theirs.
  Transformer(TransformerConfig config, Parameters parameters, at::ScalarType compute);

  // The parts of a forward pass in order. `training` null: evaluation, no dropout.
  Sequence Prepare(const Batch& batch) const;
  at::Tensor Embed(const Batch& batch, const TrainingContext* training = nullptr) const;
  at::Tensor Layer(int64_t layer, const at::Tensor& x, const Sequence& sequence,
                   const TrainingContext* training = nullptr) const;
  ModelOutput Head(const at::Tensor& x, const Sequence& sequence,
                   const TrainingContext* training = nullptr) const;

  // All of it. `observe`, when set, sees the residual stream: index 0 after the embedding, i + 1
  // after layer i.
  using Observer = std::function<void(int64_t index, const at::Tensor& x)>;
  ModelOutput Forward(const Batch& batch, const TrainingContext* training = nullptr,
                      const Observer& observe = {}) const;

  // Hides what the model has just gained, in every forward pass from now on; nothing: shows it.
  // Throws ImpossibleError for blocks whose norms do not stand before the sub-blocks.
  void SetMask(std::optional<GrowthMask> mask);

  const TransformerConfig& config() const { return config_; }
  TransformerConfig& config() { return config_; }  // e.g. other dropout for fine-tuning
  const Parameters& parameters() const { return parameters_; }
  Parameters& parameters() { return parameters_; }

 private:
  at::Tensor Block(int64_t layer, const LayerWeights& weights, const at::Tensor& x,
                   const Sequence& sequence, const TrainingContext* training) const;
  at::Tensor RecomputedLayer(int64_t layer, const at::Tensor& x, const Sequence& sequence,
                             const TrainingContext& training) const;
  at::Tensor Normalise(const at::Tensor& x, const NormWeights& norm) const;
  at::Tensor Join(const at::Tensor& residual, at::Tensor update, const NormWeights& post_norm,
                  const at::Tensor& scale, const char* place, int64_t layer,
                  const TrainingContext* training) const;

  TransformerConfig config_;
  Parameters parameters_;
  at::ScalarType compute_;
  std::optional<GrowthMask> mask_;
};

}  // namespace orchard::nn
