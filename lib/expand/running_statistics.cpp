#include "expand/running_statistics.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include "io/torch/tensors.h"

namespace orchard::expand {

void RunningStatistics::Add(const nn::ModelOutput& output) {
  if (output.measured.defined()) measured_.push_back(output.measured.detach());
}

void RunningStatistics::Apply() {
  if (measured_.empty()) return;
  const at::NoGradGuard no_grad;
  at::Tensor all = at::stack(measured_);  // [micro-batches, statistics]
  measured_.clear();
  if (ranks_.size() > 1) {
    // Row m * ranks + r is micro-batch m of rank r; the sum only fills in the other ranks' rows. On
    // the CPU, where the ordered all-reduce is.
    const int64_t passes = all.size(0);
    const at::Tensor rows =
        at::zeros({passes, ranks_.size(), all.size(1)}, at::TensorOptions(all.scalar_type()));
    rows.select(1, ranks_.rank()).copy_(all);
    ranks_.AllReduce({rows.data_ptr(), rows.numel(), io::FromScalarType(rows.scalar_type())});
    all = rows.flatten(0, 1).to(all.device());
  }
  for (int64_t row = 0; row < all.size(0); ++row) network_.resnet()->MoveStatistics(all[row]);
}

}  // namespace orchard::expand
