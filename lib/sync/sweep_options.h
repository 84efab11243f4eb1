// What `cser-train sweep`, `verify` and `eval` can be told.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "sync/train_options.h"

namespace orchard::sync {

struct SweepListOptions {
  std::vector<std::string> algos = {"sgd", "cser", "qsparse", "ef-sgd"};
  std::vector<double> ratios = {64};
  std::vector<double> rates;  // empty: schedule.lr
  int64_t seeds = 1;

  void Fields(cli::FieldVisitor& f) {
    f("algos", algos, "algorithms, each with every ratio and learning rate");
    f("ratios", ratios, "values of compress.ratio", cli::AtLeast(1));
    f("rates", rates, "values of schedule.lr (default: that one)", cli::Positive());
    f("seeds", seeds, "runs of each, with seeds from common.seed on", cli::AtLeast(1));
  }
};

struct SweepOptions {
  SweepListOptions sweep;
  SyncTrainOptions train;

  SweepOptions() { train.run.ranks = 4; }
  void Fields(cli::FieldVisitor& f) {
    f.Section("sweep", sweep);
    train.Fields(f);
  }
};

struct VerifyOptions {
  int64_t steps = 200;
  SyncTrainOptions train;

  void Fields(cli::FieldVisitor& f) {
    f("steps", steps, "steps to train before the checks", cli::AtLeast(1));
    train.Fields(f);
  }
};

struct TuneOptions {
  int64_t steps = 20;
  SyncTrainOptions train;

  void Fields(cli::FieldVisitor& f) {
    f("steps", steps, "steps that each way of training is timed for", cli::AtLeast(1));
    train.Fields(f);
  }
};

struct EvalOptions {
  std::filesystem::path model;
  std::optional<std::string> module;
  SyncDataOptions data;
  SyncEvaluationOptions eval;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("model", model,
                 "run that has ended, or a directory with model.safetensors and config.json");
    f("module", module, "of a network of one's own: its TorchScript file, where that has moved");
    f.Section("data", data);
    f.Section("eval", eval);
  }
};

}  // namespace orchard::sync
