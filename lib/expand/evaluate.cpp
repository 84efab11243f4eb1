#include "expand/evaluate.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/stack.h>

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
  const DataShape shape = batches.shape();
  const int64_t size = batches.valid_size();
  int64_t count = (size + batch - 1) / batch;
  if (max_batches > 0) count = std::min(count, max_batches);
  const bool texts = shape.per_sample() && shape.channels == 0;
  // One row of sums per batch, added in the order of the batches, and then prediction and truth of
  // every text: every number comes from one rank, so that the result does not depend on their
  // number.
  constexpr size_t kSums = 4;
  const auto rows = kSums * static_cast<size_t>(count);
  const int64_t seen = texts ? std::min(size, count * batch) : 0;
  std::vector<double> numbers(rows + 2 * static_cast<size_t>(seen));
  for (int64_t i = ranks.rank(); i < count; i += ranks.size()) {
    const int64_t first = i * batch, samples = std::min(batch, size - first);
    const Example example = ToDevice(batches.Valid(first, samples), device);
    const nn::ModelOutput output = model.Forward(example.inputs);
    double* sums = numbers.data() + kSums * static_cast<size_t>(i);
    sums[0] += SummedLoss(output, example).item().toDouble();
    sums[1] += static_cast<double>(example.predictions);
    const at::Tensor& logits = shape.per_sample() ? output.class_logits : output.token_logits;
    if (!shape.regression) {
      const at::Tensor predictions = logits.reshape({-1, logits.size(-1)});
      const at::Tensor labels = shape.per_sample() ? example.labels : example.targets.reshape({-1});
      sums[2] += static_cast<double>(HitsAmong(predictions, labels, 1));
      sums[3] += static_cast<double>(HitsAmong(predictions, labels, 5));
    }
    if (!texts) continue;
    const at::Tensor predicted = shape.regression ? logits.select(1, 0) : logits.argmax(1);
    const at::Tensor truth = shape.regression ? example.targets.select(1, 0) : example.labels;
    const at::Tensor both =
        at::stack({predicted.to(at::kCPU, at::kDouble), truth.to(at::kCPU, at::kDouble)}, 1)
            .contiguous();
    std::copy_n(both.const_data_ptr<double>(), both.numel(),
                numbers.data() + rows + 2 * static_cast<size_t>(first));
  }
  SumOverRanks(ranks, numbers);
  double sums[kSums] = {};
  for (size_t i = 0; i < rows; ++i) sums[i % kSums] += numbers[i];
  Evaluation evaluation{sums[0], static_cast<int64_t>(sums[1]), static_cast<int64_t>(sums[2]),
                        static_cast<int64_t>(sums[3])};
  evaluation.per_sample = shape.per_sample();
  evaluation.regression = shape.regression;
  evaluation.classes = shape.classes;
  for (size_t i = rows; i < numbers.size(); i += 2) {
    evaluation.predicted.push_back(numbers[i]);
    evaluation.truth.push_back(numbers[i + 1]);
  }
  return evaluation;
}

}  // namespace orchard::expand
