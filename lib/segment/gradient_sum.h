// Sums of gradients over ranks.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <memory>
#include <span>
#include <vector>

#include "comm/communicator.h"

namespace orchard::segment {

class GradientSum {
 public:
  // `ranks` outlives it; a collective call. On a GPU messages go by NCCL where every rank has a GPU
  // of its own, else through host memory (comm/device_ranks.h).
  //   values  parameters, f32, on `device`; the same on all ranks
  GradientSum(comm::Communicator& ranks, std::span<const at::Tensor> values, c10::Device device);

  // Replaces every gradient by its sum over ranks, in rank order (but with NCCL). A parameter that
  // has none counts as zeros. The same bits on all ranks.
  void Run();

 private:
  comm::Communicator& ranks_;
  std::unique_ptr<comm::Communicator> device_ranks_;
  std::vector<at::Tensor> values_;
  at::Tensor message_;  // all gradients, one after the other
};

}  // namespace orchard::segment
