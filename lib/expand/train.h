// Training: one loop for every model, any number of ranks, with exact resume.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "expand/train_options.h"
#include "run/run_dir.h"

namespace orchard::expand {

// What a run is given besides its options.
struct TrainSetting {
  uint64_t seed = 0;
  int threads = 1;
  std::string device = "cpu";
  bool progress = true;
};

struct TrainResult {
  int64_t steps = 0, parameters = 0, trained_parameters = 0, tokens = 0;
  double loss = 0;                                     // of the last step's batch, nats
  std::optional<double> first_valid_loss, valid_loss;  // before the first step, after the last
  std::optional<double> accuracy;                      // images: of the validation, [0, 1]
  double seconds = 0;                                  // in the loop, this process
  std::filesystem::path final;                         // the trained model
};

// Trains with the ranks of `communicator`; every rank calls this with the same options. Each step
// takes ranks x accum x batch samples in the order of the sampler; gradients are summed in rank
// order and divided by the number of predictions of all ranks, so that N ranks see and do what one
// rank with N x accum micro-batches does, bit for bit.
//   run  on rank 0 only: its metrics.jsonl, checkpoints, and the final model in `final/`. A run
//        that was interrupted continues from its checkpoint to the same bits.
// Throws InterruptedError on every rank after a stop (the checkpoint is written then),
// DivergedError when the loss or a gradient is not finite, and what data and model throw.
TrainResult Train(const TrainOptions& options, const TrainSetting& setting,
                  comm::Communicator& communicator, run::RunDir* run);

nlohmann::json ToJson(const TrainResult& result);

}  // namespace orchard::expand
