// Running statistics of batch norms when a step is made of several micro-batches on several ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "comm/communicator.h"
#include "nn/network.h"

namespace orchard::expand {

// Norms see one micro-batch at a time. At the end of a step the running statistics take what all
// micro-batches of all ranks measured, in the order in which a single rank would have met them:
// they are the same on every rank, and for N ranks the same bits as for one rank with N times as
// many micro-batches. For networks without such norms nothing happens.
class RunningStatistics {
 public:
  RunningStatistics(const nn::Network& network, comm::Communicator& ranks)
      : network_(network), ranks_(ranks) {}

  // What a training pass of this rank measured.
  void Add(const nn::ModelOutput& output);
  // Ends the step; every rank calls it after as many passes.
  void Apply();

 private:
  const nn::Network& network_;
  comm::Communicator& ranks_;
  std::vector<at::Tensor> measured_;
};

}  // namespace orchard::expand
