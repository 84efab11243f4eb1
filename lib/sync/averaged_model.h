// The model that a job has trained: the mean of its ranks' models. Also how far they are from it.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.h"
#include "sync/algorithm.h"
#include "sync/replica.h"
#include "sync/train_options.h"
#include "sync/training_data.h"

namespace orchard::sync {

struct AveragedModel {
  std::vector<float> values, statistics;  // arenas; the same on all ranks
  double drift = 0;  // root mean square over ranks of |x_i - mean x|, over |mean x|
};

// A collective call. Where ranks hold the same model (always without an algorithm) it is taken as
// it is.
AveragedModel Average(Replica& replica, const Algorithm<float>* algorithm,
                      comm::Communicator& ranks);

struct Evaluation {
  double loss = 0;            // mean over predictions, nats
  double top1 = 0, top5 = 0;  // parts of them
  double drift = 0;
};

// Evaluates the averaged model on all test samples, which ranks share. The replica is left as it
// was, to the last bit. A collective call.
//   step  of training, for the batches that recalibrate norms
Evaluation EvaluateAverage(Replica& replica, const Algorithm<float>* algorithm,
                           const RankBatches& batches, int64_t test_size, int64_t step,
                           const SyncEvaluationOptions& options, comm::Communicator& ranks);

}  // namespace orchard::sync
