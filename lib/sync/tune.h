// What compression would bring on this link with this model: measured, not guessed.
#pragma once

#include <cstdint>

#include "comm/communicator.h"
#include "sync/image_batches.h"
#include "sync/train.h"
#include "sync/train_options.h"
#include "sync/tuning.h"

namespace orchard::sync {

// A collective call; nothing is trained. Throws UsageError where there is no link: one rank, or
// simulated ones.
//   steps  that each way of training is timed for
Tuning Tune(const SyncTrainOptions& options, const TrainSetting& setting, const ImageData& data,
            int64_t steps, comm::Communicator& ranks);

}  // namespace orchard::sync
