#include "expand/gradient_sum.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <span>

#include "io/torch/tensors.h"

namespace orchard::expand {

GradientSum::GradientSum(const std::vector<nn::OptimizedTensor>& tensors,
                         comm::Communicator& communicator)
    : tensors_(tensors), communicator_(communicator) {
  if (communicator.size() == 1) return;
  int64_t elements = static_cast<int64_t>(tensors.size());
  for (const nn::OptimizedTensor& t : tensors) elements += t.value.numel();
  // On the CPU, where the ordered all-reduce is.
  buffer_ = at::empty({elements}, at::TensorOptions(tensors.front().value.scalar_type()));
}

void GradientSum::AllReduce() {
  if (communicator_.size() == 1) return;
  const at::NoGradGuard no_grad;
  const auto count = static_cast<int64_t>(tensors_.size());
  at::Tensor present = buffer_.narrow(0, buffer_.numel() - count, count);
  int64_t at = 0;
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor& value = tensors_[static_cast<size_t>(i)].value;
    at::Tensor part = buffer_.narrow(0, at, value.numel());
    const at::Tensor gradient = value.grad();
    present[i].fill_(gradient.defined() ? 1 : 0);
    if (gradient.defined()) {
      part.copy_(gradient.reshape({-1}));
    } else {
      part.zero_();
    }
    at += value.numel();
  }
  communicator_.AllReduce(
      {buffer_.data_ptr(), buffer_.numel(), io::FromScalarType(buffer_.scalar_type())});
  at = 0;
  for (int64_t i = 0; i < count; ++i) {
    at::Tensor value = tensors_[static_cast<size_t>(i)].value;
    if (present[i].item().toDouble() > 0) {
      const at::Tensor sum = buffer_.narrow(0, at, value.numel()).view(value.sizes());
      // A copy only where it is needed: on the CPU the optimiser reads the buffer itself.
      value.mutable_grad() = sum.to(value.device());
    }
    at += value.numel();
  }
}

void SumOverRanks(comm::Communicator& communicator, std::vector<double>& values) {
  if (communicator.size() > 1) communicator.AllReduce(std::span<double>(values));
}

}  // namespace orchard::expand
