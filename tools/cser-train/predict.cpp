// cser-train model: bytes and seconds of a step, by arithmetic.
#include "sync/predict.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/number_format.h"
#include "cser-train/commands.h"

namespace orchard::cser_train {

int RunPredict(const sync::PredictOptions& options, const cli::Context& context) {
  const sync::Prediction prediction = sync::Predict(options);
  if (context.common.json) {
    nlohmann::json json = {{"break_even_bandwidth", prediction.break_even_bandwidth}};
    for (const sync::StepPrediction& p : prediction.steps) {
      json["steps"].push_back({{"ratio", p.ratio},
                               {"bytes", p.bytes},
                               {"wire_seconds", p.wire_seconds},
                               {"seconds", p.seconds},
                               {"speedup", p.speedup}});
    }
    fmt::print("{}\n", json.dump());
    return 0;
  }
  fmt::print("{:>7}  {:>10}  {:>10}  {:>10}  {:>8}\n", "ratio", "sent", "wire (ms)", "step (ms)",
             "speed-up");
  for (const sync::StepPrediction& p : prediction.steps) {
    fmt::print("{:>7g}  {:>10}  {:>10.3f}  {:>10.3f}  {:>8.2f}\n", p.ratio,
               FormatBytes(static_cast<uint64_t>(p.bytes)), 1e3 * p.wire_seconds, 1e3 * p.seconds,
               p.speedup);
  }
  fmt::print("above {:.3g} Gb/s compression saves less than 5 % of a step\n",
             prediction.break_even_bandwidth / 1e9);
  return 0;
}

}  // namespace orchard::cser_train
