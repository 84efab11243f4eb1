// Training runs that take milliseconds, and what they leave.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "expand/options.h"
#include "expand/train.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {

// A byte-level GPT-2 of 2 layers, 16 wide, on 20000 characters for 8 steps.
TrainOptions TinyTraining();

// Trains into `path` with simulated ranks; what rank 0 found.
TrainResult TrainInto(const std::filesystem::path& path, const TrainOptions& options,
                      bool resume = false);

// Asks for a stop before the run begins, so that it ends after its first step (of this call).
void TrainOneStepInto(const std::filesystem::path& path, TrainOptions options, bool resume = false);

// The bytes of the final weights.
std::string FinalWeights(const std::filesystem::path& run);

// metrics.jsonl without what a clock or the machine decides.
std::vector<nlohmann::json> Metrics(const std::filesystem::path& run);

// Trains a source in f64 into scratch/source and grows it into scratch/grown; what training it
// found.
TrainResult TrainAndGrow(const testing::ScratchDir& scratch, TrainOptions options,
                         const TargetOptions& target, const MethodOptions& method = {});

}  // namespace orchard::expand
