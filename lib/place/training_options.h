// What a user can ask of a training step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "place/training_step.h"

namespace orchard::place {

// What a graph file is.
enum class Step {
  kGiven,    // all that runs
  kTraining  // the forward pass of a training step: backward pass and updates are added
};
inline constexpr cli::EnumName<Step> kStepNames[] = {{"given", Step::kGiven},
                                                     {"training", Step::kTraining}};
constexpr auto EnumNames(Step) { return std::span(kStepNames); }

// In which order a device runs the passes of several micro-batches.
enum class Pipeline {
  kAuto,   // the better of both, and what refinement makes of it
  kGpipe,  // all forward passes, then all backward passes (Huang et al., 2019)
  k1F1B    // one forward, one backward in turn (Narayanan et al., 2019)
};
inline constexpr cli::EnumName<Pipeline> kPipelineNames[] = {
    {"auto", Pipeline::kAuto}, {"gpipe", Pipeline::kGpipe}, {"1f1b", Pipeline::k1F1B}};
constexpr auto EnumNames(Pipeline) { return std::span(kPipelineNames); }

enum class Recompute { kOff, kAuto };
inline constexpr cli::EnumName<Recompute> kRecomputeNames[] = {{"off", Recompute::kOff},
                                                               {"auto", Recompute::kAuto}};
constexpr auto EnumNames(Recompute) { return std::span(kRecomputeNames); }

struct TrainingOptions {
  Step step = Step::kGiven;
  std::string microbatches = "1";
  Pipeline schedule = Pipeline::kAuto;
  Recompute recompute = Recompute::kOff;
  double launch_us = StepOptions{}.launch_us;
  std::optional<double> backward_ratio;
  double bandwidth = StepOptions{}.bandwidth_gb_per_s;

  void Fields(cli::FieldVisitor& f) {
    f("step", step,
      "given: the graph is all that runs; training: it is the forward pass, and the backward pass "
      "and updates are simulated with it");
    f("microbatches", microbatches,
      "parts of the batch that --step training pipelines; auto: the best of 1, 2, 4, 8, 16, 32");
    f("schedule", schedule,
      "order of the micro-batches' passes on a device; auto: the better, and what refinement makes "
      "of "
      "it");
    f("recompute", recompute,
      "auto: where memory binds, drop what the backward pass needs and compute it again, if that "
      "makes a placement fit that is faster than all that fit without");
    CostFields(f);
  }

  // What the passes of a step take.
  void CostFields(cli::FieldVisitor& f) {
    f("launch_us", launch_us, "part of an operator's time that does not shrink with the batch",
      cli::AtLeast(0));
    f("backward_ratio", backward_ratio,
      "backward by forward time where the graph states none; without: 2 for dense operators, else "
      "1",
      cli::Between(0, 100));
    f("bandwidth", bandwidth, "GB/s of a device's memory, for the time of the updates",
      cli::Positive());
  }

  // The numbers of micro-batches to try. Throws UsageError.
  std::vector<int32_t> MicrobatchCounts() const;
  StepOptions ForStep(Optimizer optimizer, int32_t count) const;
};

}  // namespace orchard::place
