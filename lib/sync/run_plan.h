// What a run will send and hold, found out without training: `--dry-run`.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sync/train_options.h"
#include "sync/training_data.h"

namespace orchard::sync {

struct RunPlan {
  std::string algorithm;
  int ranks = 1;
  int implementation = 0;             // of CSER's family; 0 for others
  int64_t interval = 1;               // H
  int64_t parameters = 0, arena = 0;  // elements; the arena with padding
  int64_t block = 0,
          blocks = 0;  // elements of one, and their number; of gradients where those differ
  double nominal_ratio = 1, ratio = 1;
  double bytes_per_step = 0;  // sent by a rank on average; with one rank, as with two
  int64_t steps = 0, steps_per_epoch = 0;
  int64_t arena_bytes = 0;  // model, gradient and the algorithm's state, per rank
  double label_skew = 0;
};

// Throws what Train throws for options that do not fit.
RunPlan PlanRun(const SyncTrainOptions& options, const TrainingData& data, uint64_t seed);

nlohmann::json ToJson(const RunPlan& plan);

}  // namespace orchard::sync
