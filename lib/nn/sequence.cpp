#include "nn/sequence.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>

#include <algorithm>
#include <string>

#include "base/error.h"

namespace orchard::nn {
namespace {

void CheckTokens(const TransformerConfig& config, const Batch& batch) {
  if (!batch.tokens.defined() || batch.tokens.dim() != 2 ||
      batch.tokens.scalar_type() != at::kLong) {
    throw UsageError("tokens must be an int64 tensor [batch, length]");
  }
  const int64_t length = batch.tokens.size(1);
  if (length > config.positions && config.position != PositionKind::kNone) {
    throw UsageError("a sequence of " + std::to_string(length) + " tokens for a model of " +
                     std::to_string(config.positions) + " positions");
  }
  for (const at::Tensor* tensor : {&batch.attention_mask, &batch.types}) {
    if (tensor->defined() && !tensor->sizes().equals(batch.tokens.sizes())) {
      throw UsageError("attention mask and token types must have the shape of the tokens");
    }
  }
}

AttentionMask MakeMask(const at::Tensor& padding, bool causal, int64_t window, int64_t length,
                       at::Device device) {
  const bool windowed = window > 0 && window < length;
  if (!padding.defined() && !windowed) return {.causal = causal, .keep = {}};
  at::Tensor keep;
  if (causal) {
    const at::Tensor key = at::arange(length, at::TensorOptions(device).dtype(at::kLong));
    const at::Tensor distance = key.unsqueeze(1) - key.unsqueeze(0);  // query - key
    keep = distance.ge(0);
    if (windowed) keep = keep.logical_and(distance.lt(window));
    keep = keep.view({1, 1, length, length});
    if (padding.defined()) {
      // A query always sees itself: padding on the left would leave rows without any key, and
      // softmax of nothing is NaN.
      keep = keep.logical_and(padding.view({-1, 1, 1, length})).logical_or(distance.eq(0));
    }
  } else {
    keep = padding.view({-1, 1, 1, length}).expand({-1, 1, length, length});
  }
  return {.causal = false, .keep = keep};
}

}  // namespace

Sequence PrepareSequence(const TransformerConfig& config, const Batch& batch,
                         at::ScalarType compute) {
  Sequence sequence;
  if (config.is_image()) {
    const auto& images = batch.images;
    if (!images.defined() || images.dim() != 4 || images.size(1) != config.channels ||
        images.size(2) != config.image_height || images.size(3) != config.image_width) {
      throw UsageError("images must be [batch, " + std::to_string(config.channels) + ", " +
                       std::to_string(config.image_height) + ", " +
                       std::to_string(config.image_width) + "]");
    }
    return sequence;
  }
  CheckTokens(config, batch);
  const int64_t length = batch.tokens.size(1);
  const at::Device device = batch.tokens.device();
  if (batch.attention_mask.defined()) sequence.padding = batch.attention_mask.to(at::kBool);
  sequence.full = MakeMask(sequence.padding, config.causal, 0, length, device);
  const bool slides =
      std::ranges::find(config.layer_is_sliding, true) != config.layer_is_sliding.end();
  if (slides) {
    sequence.sliding = MakeMask(sequence.padding, config.causal, config.window, length, device);
  }
  if (config.rope) sequence.rotary = MakeRotaryTable(*config.rope, length, compute, device);
  return sequence;
}

}  // namespace orchard::nn
