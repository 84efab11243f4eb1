// Checks, on a model and data of the user's, what must hold whatever is compressed.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "sync/train.h"

namespace orchard::sync {

struct Check {
  std::string name;
  double value = 0, limit = 0;  // passes where value <= limit
  bool passes() const { return value <= limit; }
};

struct Verification {
  std::string algorithm;
  int ranks = 1;
  int64_t steps = 0;
  std::vector<Check> checks;
  bool passes() const;
};

// Trains `steps` steps and measures:
//   common part    x_i - e_i is the same on all ranks (CSER, implementation I), or x_i is
//   (algorithms
//                  with one model); relative to the largest weight
//   mean model     moves by the mean step of the ranks (SGD and CSER's family), relative likewise
//   bytes          that were sent, against the formulas
//   evaluation     leaves the rank's model and state as they were
// Every rank calls this; every rank gets the result.
Verification Verify(const SyncTrainOptions& options, const TrainSetting& setting,
                    const TrainingData& data, int64_t steps, comm::Communicator& communicator);

nlohmann::json ToJson(const Verification& verification);

}  // namespace orchard::sync
