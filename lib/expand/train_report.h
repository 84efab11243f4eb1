// The page of a training run: how the loss and the learning rate went.
#pragma once

#include <filesystem>
#include <string>

#include "expand/train.h"
#include "run/report.h"

namespace orchard::expand {

// Curves of metrics.jsonl at `metrics`, all attempts of a resumed run included.
run::Report MakeTrainReport(const TrainResult& result, const std::filesystem::path& metrics,
                            const std::string& config_toml);

}  // namespace orchard::expand
