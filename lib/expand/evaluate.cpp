#include "expand/evaluate.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <vector>

#include "expand/gradient_sum.h"

namespace orchard::expand {
namespace {

at::Tensor Moved(const at::Tensor& tensor, c10::Device device) {
  return tensor.defined() ? tensor.to(device) : tensor;
}

// How many rows have their label among the `k` largest logits. Ties count against the model.
int64_t HitsAmong(const at::Tensor& logits, const at::Tensor& labels, int64_t k) {
  const at::Tensor chosen = logits.gather(1, labels.clamp_min(0).unsqueeze(1));
  const at::Tensor not_smaller = logits.ge(chosen).sum(1);  // the label itself included
  return not_smaller.le(k).logical_and(labels.ge(0)).sum().item().toLong();
}

}  // namespace

Example ToDevice(const Example& e, c10::Device device) {
  Example moved = e;
  moved.inputs = {Moved(e.inputs.tokens, device), Moved(e.inputs.attention_mask, device),
                  Moved(e.inputs.types, device), Moved(e.inputs.images, device)};
  moved.targets = Moved(e.targets, device);
  moved.labels = Moved(e.labels, device);
  return moved;
}

Evaluation EvaluateBatches(const nn::Network& model, const Batches& batches, int64_t batch,
                           int64_t max_batches, comm::Communicator& ranks, c10::Device device) {
  const at::NoGradGuard no_grad;
  const int64_t size = batches.valid_size();
  int64_t count = (size + batch - 1) / batch;
  if (max_batches > 0) count = std::min(count, max_batches);
  std::vector<double> sums(4);
  for (int64_t i = ranks.rank(); i < count; i += ranks.size()) {
    const Example example =
        ToDevice(batches.Valid(i * batch, std::min(batch, size - i * batch)), device);
    const nn::ModelOutput output = model.Forward(example.inputs);
    sums[0] += SummedLoss(output, example).item().toDouble();
    sums[1] += static_cast<double>(example.predictions);
    const bool images = example.labels.defined();
    const at::Tensor& logits = images ? output.class_logits : output.token_logits;
    const at::Tensor rows = logits.reshape({-1, logits.size(-1)});
    const at::Tensor labels = images ? example.labels : example.targets.reshape({-1});
    sums[2] += static_cast<double>(HitsAmong(rows, labels, 1));
    sums[3] += static_cast<double>(HitsAmong(rows, labels, 5));
  }
  SumOverRanks(ranks, sums);
  Evaluation evaluation{sums[0], static_cast<int64_t>(sums[1]), static_cast<int64_t>(sums[2]),
                        static_cast<int64_t>(sums[3])};
  evaluation.images = batches.shape().classes > 0;
  return evaluation;
}

}  // namespace orchard::expand
