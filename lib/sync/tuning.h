// What was measured of a link and of steps on it, and what follows.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sync/algorithm_options.h"
#include "sync/arena.h"
#include "sync/link.h"
#include "sync/predict.h"

namespace orchard::sync {

struct Tuning {
  int ranks = 1;
  int64_t parameters = 0;
  LinkModel link;
  // Seconds of a step of the slowest rank, means: without any message, with a dense exchange, and
  // as the options say.
  double compute = 0, dense = 0, configured = 0;
  double ratio = 1;  // of the options, true
  std::string algorithm;
  std::vector<StepPrediction> predictions;  // by the model of predict.h with what was measured
  // What follows. The smallest of the predicted ratios whose step is at most 5 % longer than one
  // without any message; 1 where a dense exchange is that fast already.
  double advised_ratio = 1;
  double bucket_mb = 4;  // ten times as long on the wire as its latency
  int64_t delay = 0;     // steps, where even that ratio leaves the wire in sight
  // Whether the options make a step at least 5 % shorter than a dense exchange.
  bool pays = false;
  std::string Text() const;  // in words, one line
};

// What follows from the numbers that were measured.
void Advise(Tuning& tuning);

// What a run does with a tuning: dense SGD where compression does not pay. Else the algorithm it
// was given (cser where that was sgd) at the advised ratio, or the next lower power of two that the
// model has enough blocks for; settings that follow from a ratio (c1_ratio, c2_ratio, interval) are
// left to it. The delay, at most 10, is taken over where the algorithm can apply means late.
struct TuningChoice {
  AlgorithmKind algo = AlgorithmKind::kSgd;
  double ratio = 1;
  double bucket_mb = 4;
  int64_t delay = 0;
  std::string text;  // in words, one line
};
TuningChoice ChooseBy(const Tuning& tuning, const AlgorithmOptions& algorithm,
                      const CompressOptions& compress, const ArenaLayout& layout);
void ApplyChoice(const TuningChoice& choice, AlgorithmOptions& algorithm,
                 CompressOptions& compress);

nlohmann::json ToJson(const TuningChoice& choice);
// The reverse. Throws nlohmann::json::exception.
TuningChoice ParseTuningChoice(const nlohmann::json& json);

nlohmann::json ToJson(const Tuning& tuning);

}  // namespace orchard::sync
