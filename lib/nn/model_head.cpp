#include "nn/model_head.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

#include "base/error.h"
#include "nn/embedding.h"
#include "nn/mlp.h"

namespace orchard::nn {
namespace {

// Number of tokens before the patches.
int64_t ClassTokens(const TransformerConfig& c, const at::Tensor& x) {
  return x.size(1) - c.positions;
}

at::Tensor LastAttended(const at::Tensor& hidden, const at::Tensor& padding) {
  if (!padding.defined()) return hidden.select(1, hidden.size(1) - 1);
  const at::Tensor index = at::arange(hidden.size(1), padding.options().dtype(at::kLong));
  const at::Tensor last = (padding.to(at::kLong) * index).argmax(1);
  return hidden.gather(1, last.view({-1, 1, 1}).expand({-1, 1, hidden.size(2)})).select(1, 0);
}

// The features that a classifier reads, [N, features].
at::Tensor Pool(const TransformerConfig& c, const at::Tensor& hidden, const at::Tensor& pooled,
                const Sequence& sequence) {
  switch (c.pooling) {
    case Pooling::kFirst:
      return hidden.select(1, 0);
    case Pooling::kLast:
      return LastAttended(hidden, sequence.padding);
    case Pooling::kPooler:
      if (!pooled.defined()) throw DataError("the model has no tensor for pooler.weight");
      return pooled;
    case Pooling::kMean:
      return hidden;  // pooled before its norm
    case Pooling::kFirstAndMean:
      break;
  }
  return at::cat({hidden.select(1, 0), hidden.narrow(1, 1, hidden.size(1) - 1).mean(1)}, 1);
}

}  // namespace

ModelOutput ModelHead(const TransformerConfig& c, const HeadWeights& w, const at::Tensor& x,
                      const Sequence& sequence, const TrainingContext* training) {
  ModelOutput out;
  at::Tensor last = x;
  if (c.pooling == Pooling::kMean) {
    const int64_t skip = ClassTokens(c, x);
    last = x.narrow(1, skip, x.size(1) - skip).mean(1);
  }
  out.hidden = w.final_norm.defined() ? Norm(c, last, w.final_norm) : last;
  if (w.pooler.defined()) {
    out.pooled = ApplyNonlinearity(w.pooler(out.hidden.select(1, 0)), c.pooler_activation);
  }
  if (w.vocabulary.defined()) {
    at::Tensor features = out.hidden;
    if (w.mlm_dense.defined()) {
      features = Norm(c, ApplyNonlinearity(w.mlm_dense(features), c.mlm_activation), w.mlm_norm);
    }
    out.token_logits = w.vocabulary(features);
    if (c.logit_softcap > 0) {
      out.token_logits = (out.token_logits / c.logit_softcap).tanh() * c.logit_softcap;
    }
  }
  if (w.classifier.defined()) {
    const double probability = training != nullptr ? c.dropout.classifier : 0;
    const auto drop = [&](const at::Tensor& x, int64_t place) {
      return probability > 0 ? Dropout(x, probability, training->Random("classifier", place)) : x;
    };
    at::Tensor features = Pool(c, out.hidden, out.pooled, sequence);
    if (w.classifier_dense.defined()) {
      if (c.model_type == "roberta") features = drop(features, 0);
      features = ApplyNonlinearity(w.classifier_dense(features), c.classifier_activation);
    }
    features = drop(features, 1);
    out.class_logits = w.classifier(features);
    if (w.dist_classifier.defined()) {
      // Trained apart, the two heads are averaged for a prediction.
      out.class_logits = (out.class_logits + w.dist_classifier(out.hidden.select(1, 1))) / 2;
    }
  }
  return out;
}

}  // namespace orchard::nn
