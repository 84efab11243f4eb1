// What runs the subcommands on tensors. Only the tensor half has these functions.
#pragma once

#include <filesystem>
#include <memory>

#include "cser-train/commands.h"
#include "run/run_dir.h"
#include "sync/train.h"
#include "sync/train_result.h"
#include "sync/training_data.h"

namespace orchard::cser_train {

// train.cpp
int RunTrain(const sync::SyncTrainOptions& options, const cli::Context& context);
int RunSimulate(const SimulateOptions& options, const cli::Context& context);
// What all ranks are given besides the options.
sync::TrainSetting SettingOf(const cli::Context& context, uint64_t seed);
// Throws UsageError for a device that is not the CPU.
void RequireCpu(const cli::Context& context);
// The GPU of --device, or null for the CPU. Before any tensor work. Throws UsageError,
// ResourceError.
std::unique_ptr<sync::Device> DeviceOf(const cli::Context& context);
// Trains with all ranks of the job into the run directory `out`; the result on rank 0 (and in a
// simulation), an empty one elsewhere.
//   device  null: the CPU
sync::SyncResult TrainInto(const std::filesystem::path& out, const sync::SyncTrainOptions& options,
                           const sync::TrainingData& data, uint64_t seed,
                           const cli::Context& context, const sync::Device* device = nullptr);

// verify.cpp
int RunVerify(const sync::VerifyOptions& options, const cli::Context& context);

// tune.cpp
int RunTune(const sync::TuneOptions& options, const cli::Context& context);

// eval.cpp
int RunEval(const sync::EvalOptions& options, const cli::Context& context);

// repro.cpp
int RunRepro(const sync::repro::ReproOptions& options, const cli::Context& context);

// convert.cpp
int RunConvert(const ConvertOptions& options, const cli::Context& context);

// export.cpp
int RunExport(const ExportOptions& options, const cli::Context& context);

// sweep.cpp
int RunSweep(const sync::SweepOptions& options, const cli::Context& context);

}  // namespace orchard::cser_train
