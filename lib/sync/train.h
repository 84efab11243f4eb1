// Training with the ranks of a communicator: one loop for every algorithm and any number of ranks,
// with exact resume. N simulated ranks do what N processes do, bit for bit.
#pragma once

#include <cstdint>
#include <string>

#include "comm/communicator.h"
#include "run/run_dir.h"
#include "sync/device.h"
#include "sync/train_options.h"
#include "sync/train_result.h"
#include "sync/training_data.h"

namespace orchard::sync {

// What a run is given besides its options.
struct TrainSetting {
  uint64_t seed = 0;
  int threads = 1;
  bool progress = true;
  // Where this rank computes; null: on the host. Simulated ranks share it.
  const Device* device = nullptr;
  std::string configuration;  // everything that ranks must have in common, as text
};

// Every rank calls this with the same options. Ranks that disagree on them find out before the
// first step (PeerError, naming one).
//   data  may be shared by simulated ranks
//   run   on rank 0 only: metrics.jsonl, checkpoints, and the averaged model in `final/`. A run
//   that
//         was interrupted continues to the same bits on as many ranks, and from the averaged model
//         on another number. Null elsewhere.
// Throws InterruptedError on every rank after a stop (the checkpoint is written then),
// DivergedError when a loss or the averaged model is not finite, and what data and model throw.
SyncResult Train(const SyncTrainOptions& options, const TrainSetting& setting,
                 const TrainingData& data, comm::Communicator& communicator, run::RunDir* run);

}  // namespace orchard::sync
