// What came out of a training run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace orchard::expand {

// What was trained between two growths.
struct TrainStage {
  int64_t first_step = 0, steps = 0;  // updates before it, and in it
  int64_t parameters = 0, tokens = 0;
  double flops = 0;  // see flops.h
  // Validation before and after the growth that began the stage; not of the first stage.
  std::optional<double> loss_before, loss_after;
};

// The validation with the most of what TrainRunOptions::select names, if it was asked for.
struct BestValidation {
  int64_t step = 0;
  double epoch = 0;     // passes over the training data until then
  double selected = 0;  // the larger the better
  double loss = 0;
  std::map<std::string, double> scores;  // see TaskScores
};

struct TrainResult {
  int64_t steps = 0, parameters = 0, trained_parameters = 0, tokens = 0;
  double flops = 0;                                    // of all steps, see flops.h
  double loss = 0;                                     // of the last step's batch, nats
  std::optional<double> first_valid_loss, valid_loss;  // before the first step, after the last
  std::optional<double> accuracy;                      // of images or labelled texts, [0, 1]
  std::optional<double> copy_divergence;               // of an expanded model, after the last step
  std::vector<TrainStage> stages;
  std::optional<BestValidation> best;
  double seconds = 0;                // in the loop, this process
  std::filesystem::path final;       // the trained model
  std::filesystem::path best_model;  // that of `best`
};

nlohmann::json ToJson(const TrainStage& stage);
nlohmann::json ToJson(const BestValidation& best);
nlohmann::json ToJson(const TrainResult& result);

// The reverse, for checkpoints. Throw nlohmann::json::exception.
TrainStage ParseTrainStage(const nlohmann::json& json);
BestValidation ParseBestValidation(const nlohmann::json& json);

}  // namespace orchard::expand
