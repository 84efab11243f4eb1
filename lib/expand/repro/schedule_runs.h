// The trainings of R3: a model from scratch, and the same size grown from a small trained model by
// every method, over schedules and peak learning rates.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "expand/options.h"
#include "expand/repro/options.h"
#include "expand/run_set.h"

namespace orchard::expand::repro {

struct ModelSize {
  int64_t layers = 0, hidden = 0, heads = 0;
};

struct ScheduleTier {
  const char* name = "";
  ModelSize source, target;
  ModelSize multiple;  // the next size that methods for whole copies reach
  int64_t block = 0, batch = 0, steps = 0;
};
ScheduleTier FindTier(Tier tier);

inline constexpr double kPeakLearningRate = 2e-3;
// Peaks that training from scratch and every method on the short schedule are tried with, as
// multiples of the above; a higher one is among them, so that the best is not the last by chance.
inline constexpr double kRateFactors[] = {3, 1, 0.3, 0.1};
// Lengths of LEMON's schedules over that from scratch; baselines get the first one.
inline constexpr double kHorizons[] = {0.433, 0.6, 1};

enum class Start { kSource, kScratch, kExpanded };

struct ScheduleRun {
  Start start = Start::kScratch;
  Method method = Method::kRandom;  // of kExpanded
  int64_t seed_index = 0;
  double horizon = 1, rate = 1;
  ModelSize size;
  RunRequest request;
};

struct ScheduleSetting {
  ScheduleTier tier;
  int64_t steps = 0;               // of a training from scratch
  int64_t characters = 0;          // of the corpus
  int64_t evaluations = 40;        // over a training from scratch
  int64_t evaluated_batches = 16;  // each time
  uint64_t seed = 0;
  std::vector<int64_t> seed_indices;  // which seeds to run
  std::filesystem::path directory;    // of all trainings
};

// Whether LEMON is tried with this peak on this schedule: the highest on the short one only.
bool IsTried(double horizon, double rate);

// In the order in which they are best begun: sources, then the long ones.
std::vector<ScheduleRun> ScheduleRuns(const ScheduleSetting& setting);

// "LEMON", "scratch": as tables call it.
std::string Label(const ScheduleRun& run);

// Floating-point operations of a step of this model size.
double StepFlops(const ScheduleTier& tier, const ModelSize& size);

}  // namespace orchard::expand::repro
