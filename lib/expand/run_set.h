// Several training runs of one experiment at the same time, each on one thread and in a run
// directory of its own, as `lemon-expand train` would leave it. Finished runs are found again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "expand/train_options.h"

namespace orchard::expand {

struct RunRequest {
  std::string name;  // its folder; unique
  TrainOptions options;
  uint64_t seed = 0;
  std::string after;  // name of an earlier request that must be finished first; empty: none
  // Makes what the run starts from. Called once, right before the run, from any thread; not called
  // for a run that was finished earlier.
  std::function<void()> prepare;
};

// A metric over the optimiser's steps.
struct Curve {
  std::vector<double> steps, values;

  double last() const { return values.back(); }
  // First step at which the curve is at or below `level`, between two measured ones by a straight
  // line; nothing where it never is.
  std::optional<double> Crossing(double level) const;
};

struct RunOutcome {
  Curve loss, valid_loss, divergence;  // of training batches, of validation, of copied units
  bool diverged = false;               // stopped by a loss that was not finite
  double seconds = 0;                  // of this run, wall time
  std::filesystem::path final;         // the trained model
};

struct RunSetOptions {
  std::filesystem::path directory;  // gets a folder for each run
  int threads = 1;                  // runs at the same time
  std::string device = "cpu";
  std::function<void(std::string_view name)> on_start;  // one call at a time
};

// Carries the runs out, those first in the list first, and returns what they found, in the order of
// the list. A run whose folder holds the same run, finished, is read back; one that was interrupted
// continues. Throws InterruptedError after a stop, UsageError where a folder holds another run, and
// what training throws, save that a run which diverges is an outcome.
std::vector<RunOutcome> TrainAll(const std::vector<RunRequest>& requests,
                                 const RunSetOptions& options);

// What `lemon-expand train --config` needs to repeat the run, as TOML.
std::string ConfigText(const TrainOptions& options, uint64_t seed);

}  // namespace orchard::expand
