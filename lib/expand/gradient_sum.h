// Gradients of all ranks, added.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "comm/communicator.h"
#include "nn/optimizer.h"

namespace orchard::expand {

// One buffer for the gradients of all tensors, so that a step needs one all-reduce.
class GradientSum {
 public:
  // `tensors` have one type, f32 or f64.
  GradientSum(const std::vector<nn::OptimizedTensor>& tensors, comm::Communicator& communicator);

  // Every tensor's gradient becomes the sum over ranks, in rank order. A tensor that has a gradient
  // on no rank keeps none.
  void AllReduce();

 private:
  const std::vector<nn::OptimizedTensor>& tensors_;
  comm::Communicator& communicator_;
  at::Tensor buffer_;  // gradients, then for each tensor how many ranks have one
};

// values[i] = sum over ranks, in rank order.
void SumOverRanks(comm::Communicator& communicator, std::vector<double>& values);

}  // namespace orchard::expand
