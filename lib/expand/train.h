// Training: one loop for every model, any number of ranks, with exact resume.
#pragma once

#include <cstdint>
#include <string>

#include "comm/communicator.h"
#include "expand/train_options.h"
#include "expand/train_result.h"
#include "run/run_dir.h"

namespace orchard::expand {

// What a run is given besides its options.
struct TrainSetting {
  uint64_t seed = 0;
  int threads = 1;
  std::string device = "cpu";
  bool progress = true;
};

// Trains with the ranks of `communicator`; every rank calls this with the same options. Each step
// takes ranks x accum x batch samples in the order of the sampler; gradients are summed in rank
// order and divided by the number of predictions of all ranks, so that N ranks see and do what one
// rank with N x accum micro-batches does, bit for bit.
// With [expand] staged, rank 0 grows the model between two steps and all ranks go on with what it
// wrote to `stages/<k>`, which they must be able to read.
//   run  on rank 0 only: its metrics.jsonl, checkpoints, and the final model in `final/`. A run
//        that was interrupted continues from its checkpoint to the same bits. Null on rank 0: the
//        run leaves no trace, and cannot grow.
// Throws InterruptedError on every rank after a stop (the checkpoint is written then),
// DivergedError when the loss or a gradient is not finite, and what data and model throw.
TrainResult Train(const TrainOptions& options, const TrainSetting& setting,
                  comm::Communicator& communicator, run::RunDir* run);

}  // namespace orchard::expand
