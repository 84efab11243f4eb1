// What compression would bring on this link with this model: measured, not guessed.
#pragma once

#include <cstdint>
#include <string>

#include "comm/communicator.h"
#include "sync/train.h"
#include "sync/train_options.h"
#include "sync/training_data.h"
#include "sync/tuning.h"

namespace orchard::sync {

// A collective call; nothing is trained. Throws UsageError where there is no link: one rank, or
// simulated ones.
//   steps  that each way of training is timed for
Tuning Tune(const SyncTrainOptions& options, const TrainSetting& setting, const TrainingData& data,
            int64_t steps, comm::Communicator& ranks);

// What a run with run.auto_tune trains with: the options with a tuning's choice in them, the same
// on all ranks. A new run measures, and keeps what it chose in `tuning.json`; a resumed one goes on
// with that. A collective call. Throws what Tune throws; DataError for a damaged tuning.json.
//   run   on rank 0 only
//   text  becomes the choice in words
SyncTrainOptions TunedOptions(const SyncTrainOptions& options, const TrainSetting& setting,
                              const TrainingData& data, comm::Communicator& ranks, run::RunDir* run,
                              std::string& text);

}  // namespace orchard::sync
