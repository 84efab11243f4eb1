// The subcommands of cser-train, known to both of its halves.
#pragma once

#include <functional>

#include "cli/program.h"
#include "sync/predict.h"
#include "sync/sweep_options.h"
#include "sync/train_options.h"

namespace orchard::cser_train {

inline constexpr const char* kName = "cser-train";
inline constexpr const char* kSummary =
    "data-parallel training with error reset and a fraction of the traffic";

// `simulate` is `train` with ranks in this process.
struct SimulateOptions : sync::SyncTrainOptions {
  SimulateOptions() { run.ranks = 4; }
};

// What runs the subcommands on tensors; empty in the half that has none.
struct TensorRuns {
  std::function<int(const sync::SyncTrainOptions&, const cli::Context&)> train;
  std::function<int(const SimulateOptions&, const cli::Context&)> simulate;
  std::function<int(const sync::EvalOptions&, const cli::Context&)> eval;
  std::function<int(const sync::VerifyOptions&, const cli::Context&)> verify;
  std::function<int(const sync::SweepOptions&, const cli::Context&)> sweep;
};

void AddCommands(cli::Program& program, const TensorRuns& runs);

// predict.cpp
int RunPredict(const sync::PredictOptions& options, const cli::Context& context);

}  // namespace orchard::cser_train
