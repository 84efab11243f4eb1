// Learning-rate schedules as pure functions of the step: resuming needs no state.
//
// Source: LEMON, the training recipes of its experiments (docs/methods/lemon-expand.md). With
// lr_max the peak, t_w warm-up steps from warmup_lr, T steps in all:
//
//   timm-cosine  lr_min + (lr_max - lr_min)/2 (1 + cos(pi t/T)); t counts from 0, so the warm-up
//                hides the first part of the cosine
//   bert-cosine  the same with (t - t_w)/(T - t_w); lr_min = 0.1 lr_max unless given
//   linear       lr_max (1 - f) + lr_min f, with f = (t - t_w)/(T - t_w)
//   wsd          lr_max until the last `decay` part of the T steps, then straight to lr_min
//                (warm-up, stable, decay)
//   step         lr_max gamma^floor(t / step_size)
//
// After T it is lr_min for ever (step goes on by its rule). Two changes apply to any of them:
//
//   ghost g      starts inside a longer schedule: t -> t + g, T -> T + g
//   rewarm r     after the model has grown, a ceiling that rises from warmup_lr to lr_max
//                within r steps
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "cli/fields.h"

namespace orchard::nn {

enum class ScheduleKind { kTimmCosine, kBertCosine, kLinear, kWsd, kStep };
inline constexpr cli::EnumName<ScheduleKind> kScheduleKindNames[] = {
    {"timm-cosine", ScheduleKind::kTimmCosine},
    {"bert-cosine", ScheduleKind::kBertCosine},
    {"linear", ScheduleKind::kLinear},
    {"wsd", ScheduleKind::kWsd},
    {"step", ScheduleKind::kStep},
};
constexpr auto EnumNames(ScheduleKind) { return std::span(kScheduleKindNames); }

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::kTimmCosine;
  int64_t warmup = 0;            // t_w, steps
  double warmup_lr = 0;          // learning rate at step 0 of a warm-up
  std::optional<double> lr_min;  // at the end; default 0, for bert-cosine a tenth of the peak
  int64_t ghost = 0;             // g, steps
  int64_t rewarm = 0;            // r, steps
  double decay = 0.1;            // wsd: the part of the steps that decays
  int64_t step_size = 0;         // step: steps between drops; 0 means a third of all
  double gamma = 0.1;            // step: factor of a drop

  void Fields(cli::FieldVisitor& f) {
    f("kind", kind, "shape of the learning rate over the steps");
    f("warmup", warmup, "steps of linear warm-up", cli::AtLeast(0));
    f("warmup_lr", warmup_lr, "learning rate at the first step of a warm-up", cli::AtLeast(0));
    f("lr_min", lr_min, "learning rate at the end (default 0; bert-cosine: a tenth of the peak)",
      cli::AtLeast(0));
    f("ghost", ghost, "start this many steps inside a longer schedule", cli::AtLeast(0));
    f("rewarm", rewarm, "steps of warm-up after the model has grown", cli::AtLeast(0));
    f("decay", decay, "wsd: part of the steps that decays", cli::Between(0, 1));
    f("step_size", step_size, "step: steps between drops (0: a third of all)", cli::AtLeast(0));
    f("gamma", gamma, "step: factor of each drop", cli::Between(0, 1));
  }
};

class Schedule {
 public:
  // A schedule with peak `lr_max` over `steps` >= 1. Throws UsageError when the warm-up does not
  // fit into the steps.
  Schedule(const ScheduleOptions& options, double lr_max, int64_t steps);

  // Learning rate of the update that follows `step` updates, step >= 0. `since_growth` counts from
  // when the model last grew, for re-warm-up; without it, from the beginning.
  double At(int64_t step, int64_t since_growth) const;
  double At(int64_t step) const { return At(step, step); }

  int64_t steps() const { return steps_; }
  double lr_max() const { return lr_max_; }
  double lr_min() const { return lr_min_; }

 private:
  double Base(double t, double horizon) const;

  ScheduleOptions options_;
  double lr_max_, lr_min_;
  int64_t steps_;
};

// How much shorter an expanded model trains than the same model from scratch, as LEMON's
// experiments did for one kind of network.
struct HorizonRule {
  std::string_view name;      // "vit"
  std::string_view setting;   // what was trained
  std::string_view unit;      // "epochs"
  int64_t scratch, expanded;  // lengths in that unit
  double lr_max;
  ScheduleOptions schedule;  // of the run from scratch, in steps of `unit`

  // Steps for an expanded model when training from scratch takes `scratch_steps` >= 1; rounded to
  // nearest, at least 1.
  int64_t ExpandedSteps(int64_t scratch_steps) const;
  // Training from scratch, and of the expanded model: same peak, same warm-up in steps, shorter
  // horizon.
  Schedule Scratch(int64_t scratch_steps) const;
  Schedule Expanded(int64_t scratch_steps) const;
};

// vit (130 of 300 epochs), bert (132 of 220 thousand steps), cnn (60 of 90 epochs).
std::span<const HorizonRule> HorizonRules();
// Throws UsageError listing the names.
const HorizonRule& FindHorizonRule(std::string_view name);

}  // namespace orchard::nn
