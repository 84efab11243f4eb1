// What a training run came to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "run/report.h"
#include "segment/plan.h"

namespace orchard::segment {

// Dice of one validation case.
struct ValidatedCase {
  std::string id;
  std::vector<double> dice;  // of class 1, 2, ...; NaN where neither label map has it
  std::vector<std::string> templates;
  double seconds = 0;
};

struct SegmentTrainResult {
  int64_t steps = 0, epochs = 0, parameters = 0, ranks = 1;
  int64_t training_cases = 0;
  double loss = 0;  // mean of the last logged steps
  double train_seconds = 0, cpu_seconds = 0, data_seconds = 0;
  double best = -1;                  // moving mean of the validation Dice, of `best`
  std::vector<ValidatedCase> cases;  // whole validation fold, at the end
  std::filesystem::path final;

  // Mean over cases of each class, and over classes; NaN when there is none.
  std::vector<double> ClassDice(int64_t classes) const;
  double MeanDice(int64_t classes) const;
};

nlohmann::ordered_json ToJson(const SegmentTrainResult& result, const Plan& plan);

run::Report MakeTrainReport(const SegmentTrainResult& result, const Plan& plan,
                            const std::filesystem::path& metrics, const std::string& config_toml);

}  // namespace orchard::segment
