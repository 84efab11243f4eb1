// Many runs that differ in algorithm, ratio, learning rate and seed, and one page for all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "run/report.h"
#include "sync/sweep_options.h"
#include "sync/train_result.h"

namespace orchard::sync {

// One run of a sweep.
struct SweepRun {
  std::string name;  // of its directory
  SyncTrainOptions options;
  uint64_t seed = 0;
};

// All runs, seeds innermost; dense algorithms once, whatever the ratios. Throws UsageError for an
// algorithm that does not exist.
std::vector<SweepRun> PlanSweep(const SweepOptions& options, uint64_t seed);

// How a run ended; nothing: it diverged.
using SweepOutcome = std::optional<SyncResult>;

// Runs that differ in the seed alone.
struct SweepRow {
  std::string algorithm;
  double nominal_ratio = 1, learning_rate = 0;
  int64_t seeds = 0, diverged = 0;
  double top1 = 0, deviation = 0;  // mean and standard deviation of those that did not diverge
  double best_top1 = 0;
  std::optional<double> ratio;
  double bytes_sent = 0, drift = 0;
};
std::vector<SweepRow> Summarise(const std::vector<SweepRun>& runs,
                                const std::vector<SweepOutcome>& outcomes);

nlohmann::json ToJson(const std::vector<SweepRow>& rows);
//   directory  that holds the runs
run::Report MakeSweepReport(const std::vector<SweepRun>& runs,
                            const std::vector<SweepOutcome>& outcomes,
                            const std::filesystem::path& directory);

}  // namespace orchard::sync
