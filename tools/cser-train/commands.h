// The subcommands of cser-train, known to both of its halves.
#pragma once

#include <functional>

#include "cli/program.h"
#include "comm/mpirun.h"
#include "cser-train/convert_options.h"
#include "sync/measure.h"
#include "sync/predict.h"
#include "sync/repro/options.h"
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
  std::function<int(const ExportOptions&, const cli::Context&)> export_model;
  std::function<int(const ConvertOptions&, const cli::Context&)> convert;
  std::function<int(const sync::VerifyOptions&, const cli::Context&)> verify;
  std::function<int(const sync::TuneOptions&, const cli::Context&)> tune;
  std::function<int(const sync::SweepOptions&, const cli::Context&)> sweep;
  std::function<int(const sync::repro::ReproOptions&, const cli::Context&)> repro;
};

void AddCommands(cli::Program& program, const TensorRuns& runs);

// bench.cpp
int RunBench(const sync::MeasureOptions& options, const cli::Context& context);
// launch.cpp
int RunLaunch(const comm::LaunchOptions& options, const cli::Context& context);
// predict.cpp
int RunPredict(const sync::PredictOptions& options, const cli::Context& context);

}  // namespace orchard::cser_train
