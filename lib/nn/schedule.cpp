#include "nn/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "base/error.h"

namespace orchard::nn {
namespace {

double Cosine(double high, double low, double fraction) {
  return low + 0.5 * (high - low) * (1 + std::cos(std::numbers::pi * fraction));
}

double Line(double from, double to, double fraction) {
  return from * (1 - fraction) + to * fraction;
}

// LEMON's recipes. Lengths, peaks, warm-ups and minima are those of the reference training scripts
// (DeiT; a public masked-language pipeline; torchvision). BERT's expanded length is that of the
// source (6 layers, 384 wide).
constexpr HorizonRule kRules[] = {
    {"vit",
     "ViT on ImageNet-1k, DeiT recipe",
     "epochs",
     300,
     130,
     1e-3,
     {.kind = ScheduleKind::kTimmCosine, .warmup = 5, .warmup_lr = 1e-6, .lr_min = 1e-5}},
    {"bert",
     "BERT on English Wikipedia, masked language modelling",
     "thousand steps",
     220,
     132,
     2e-4,
     {.kind = ScheduleKind::kBertCosine, .warmup = 5}},
    {"cnn",
     "ResNet on ImageNet-1k, torchvision recipe",
     "epochs",
     90,
     60,
     0.1,
     {.kind = ScheduleKind::kStep, .step_size = 0, .gamma = 0.1}},
};

}  // namespace

Schedule::Schedule(const ScheduleOptions& options, double lr_max, int64_t steps)
    : options_(options),
      lr_max_(lr_max),
      lr_min_(
          options.lr_min.value_or(options.kind == ScheduleKind::kBertCosine ? 0.1 * lr_max : 0)),
      steps_(steps) {
  if (steps < 1) throw UsageError("a schedule needs at least one step", "steps");
  if (options.warmup >= steps + options.ghost && options.warmup > 0) {
    throw UsageError("the warm-up does not fit into " + std::to_string(steps) + " steps",
                     "warmup = " + std::to_string(options.warmup), "shorten it or train longer");
  }
  if (lr_min_ > lr_max_) {
    throw UsageError("the smallest learning rate is above the peak", "lr_min");
  }
}

double Schedule::Base(double t, double horizon) const {
  const double warmup = static_cast<double>(options_.warmup);
  if (t < warmup) return Line(options_.warmup_lr, lr_max_, t / warmup);
  if (options_.kind == ScheduleKind::kStep) {
    const double size = options_.step_size > 0 ? static_cast<double>(options_.step_size)
                                               : std::max(1.0, std::round(horizon / 3));
    return lr_max_ * std::pow(options_.gamma, std::floor(t / size));
  }
  if (t >= horizon) return lr_min_;
  const double after_warmup = (t - warmup) / (horizon - warmup);
  switch (options_.kind) {
    case ScheduleKind::kTimmCosine:
      return Cosine(lr_max_, lr_min_, t / horizon);
    case ScheduleKind::kBertCosine:
      return Cosine(lr_max_, lr_min_, after_warmup);
    case ScheduleKind::kLinear:
      return Line(lr_max_, lr_min_, after_warmup);
    default:
      break;
  }
  const double decay = options_.decay * horizon;
  return t <= horizon - decay ? lr_max_ : Line(lr_min_, lr_max_, (horizon - t) / decay);
}

double Schedule::At(int64_t step, int64_t since_growth) const {
  const double rate = Base(static_cast<double>(step + options_.ghost),
                           static_cast<double>(steps_ + options_.ghost));
  if (since_growth >= options_.rewarm) return rate;
  const double fraction = static_cast<double>(since_growth) / static_cast<double>(options_.rewarm);
  return std::min(rate, Line(options_.warmup_lr, lr_max_, fraction));
}

int64_t HorizonRule::ExpandedSteps(int64_t scratch_steps) const {
  const double ratio = static_cast<double>(expanded) / static_cast<double>(scratch);
  return std::max<int64_t>(1, std::llround(static_cast<double>(scratch_steps) * ratio));
}

Schedule HorizonRule::Scratch(int64_t scratch_steps) const {
  ScheduleOptions scaled = schedule;
  scaled.warmup = schedule.warmup * scratch_steps / scratch;
  return {scaled, lr_max, scratch_steps};
}

Schedule HorizonRule::Expanded(int64_t scratch_steps) const {
  ScheduleOptions scaled = schedule;
  scaled.warmup = schedule.warmup * scratch_steps / scratch;
  return {scaled, lr_max, ExpandedSteps(scratch_steps)};
}

std::span<const HorizonRule> HorizonRules() { return kRules; }

const HorizonRule& FindHorizonRule(std::string_view name) {
  std::string names;
  for (const HorizonRule& rule : kRules) {
    if (rule.name == name) return rule;
    names += (names.empty() ? "" : ", ") + std::string(rule.name);
  }
  throw UsageError("'" + std::string(name) + "' is not a rule", "--rule", "use one of: " + names);
}

}  // namespace orchard::nn
