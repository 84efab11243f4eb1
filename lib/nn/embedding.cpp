#include "nn/embedding.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/scalar_tensor.h>

#include <string>

#include "base/error.h"

namespace orchard::nn {
namespace {

at::Tensor EmbedTokens(const TransformerConfig& c, const EmbeddingWeights& w, const Batch& batch) {
  at::Tensor x = at::embedding(w.token, batch.tokens);
  if (c.embed_scale != 1) {
    // The factor is an f32 buffer in the reference, rounded further to the dtype of the embeddings.
    const auto factor = at::scalar_tensor(static_cast<float>(c.embed_scale), w.token.options());
    x = x * factor;
  }
  if (w.type.defined()) {
    // RoBERTa has one segment, whatever a tokenizer says.
    const bool several = batch.types.defined() && w.type.size(0) > 1;
    x = x + (several ? at::embedding(w.type, batch.types) : w.type.select(0, 0));
  }
  if (c.position == PositionKind::kIndex) {
    x = x + w.position.narrow(0, 0, batch.tokens.size(1));
  } else if (c.position != PositionKind::kNone) {
    x = x + at::embedding(w.position, PositionRows(c, batch));
  }
  return x;
}

at::Tensor EmbedImages(const TransformerConfig& c, const EmbeddingWeights& w, const Batch& batch) {
  const at::Tensor patches = at::conv2d(batch.images.to(w.patch.scalar_type()), w.patch,
                                        w.patch_bias, {c.patch_height, c.patch_width});
  at::Tensor x = patches.flatten(2).transpose(1, 2);
  std::vector<at::Tensor> parts;
  for (const at::Tensor* token : {&w.cls, &w.dist}) {
    if (token->defined()) parts.push_back(token->expand({x.size(0), -1, -1}));
  }
  // timm's DeiT-III and others keep positions for patches only.
  const bool positions_for_all = w.position.size(1) != x.size(1) || parts.empty();
  if (!positions_for_all) x = x + w.position;
  parts.push_back(x);
  x = at::cat(parts, 1);
  if (!positions_for_all) return x;
  if (w.position.size(1) != x.size(1)) {
    throw DataError("position table of " + std::to_string(w.position.size(1)) + " rows for " +
                        std::to_string(x.size(1)) + " tokens",
                    "embed.position");
  }
  return x + w.position;
}

}  // namespace

at::Tensor Norm(const TransformerConfig& c, const at::Tensor& x, const NormWeights& norm) {
  return c.norm == NormKind::kLayerNorm ? LayerNorm(x, norm.weight, norm.bias, c.norm_eps)
                                        : RmsNorm(x, norm.weight, c.norm_eps, c.norm_gain);
}

at::Tensor PositionRows(const TransformerConfig& c, const Batch& batch) {
  switch (c.position) {
    case PositionKind::kMasked: {
      const at::Tensor attended = batch.attention_mask.defined()
                                      ? batch.attention_mask.to(at::kBool).to(at::kLong)
                                      : at::ones_like(batch.tokens);
      return attended.cumsum(1) * attended + 1;
    }
    case PositionKind::kPadding: {
      const at::Tensor token = batch.tokens.ne(c.pad_token).to(at::kLong);
      return token.cumsum(1) * token + c.pad_token;
    }
    case PositionKind::kNone:
    case PositionKind::kIndex:
    case PositionKind::kImage:
      break;
  }
  return at::arange(batch.tokens.size(1), batch.tokens.options()).unsqueeze(0);
}

at::Tensor Embed(const TransformerConfig& c, const EmbeddingWeights& w, const Batch& batch,
                 const TrainingContext* training) {
  at::Tensor x = c.is_image() ? EmbedImages(c, w, batch) : EmbedTokens(c, w, batch);
  if (w.norm.defined()) x = Norm(c, x, w.norm);
  if (training != nullptr && c.dropout.embedding > 0) {
    x = Dropout(x, c.dropout.embedding, training->Random("embedding", 0));
  }
  return x;
}

}  // namespace orchard::nn
