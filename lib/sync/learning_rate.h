// The learning rate over the epochs of a run, as CSER's experiments set it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cli/fields.h"
#include "sync/algorithm_options.h"

namespace orchard::sync {

enum class RateShape { kStep, kCosine, kConstant };
inline constexpr cli::EnumName<RateShape> kRateShapeNames[] = {
    {"step", RateShape::kStep}, {"cosine", RateShape::kCosine}, {"constant", RateShape::kConstant}};
constexpr auto EnumNames(RateShape) { return std::span(kRateShapeNames); }

enum class Warmup { kNone, kEpochs, kAutoCser };
inline constexpr cli::EnumName<Warmup> kWarmupNames[] = {
    {"none", Warmup::kNone}, {"epochs", Warmup::kEpochs}, {"auto-cser", Warmup::kAutoCser}};
constexpr auto EnumNames(Warmup) { return std::span(kWarmupNames); }

struct RateOptions {
  double lr = 0.05;
  RateShape schedule = RateShape::kStep;
  std::vector<double> milestones = {0.6, 0.8};  // parts of the run
  double factor = 0.2;                          // at every milestone
  Warmup warmup = Warmup::kNone;
  double warmup_epochs = 5;
  double warmup_weight = 2;  // of auto-cser

  void Fields(cli::FieldVisitor& f) {
    f("lr", lr, "learning rate before it decays", cli::Positive());
    f("schedule", schedule, "shape of the learning rate over the run");
    f("milestones", milestones, "step: where it falls, as parts of the run", cli::Between(0, 1));
    f("factor", factor, "step: what it falls by", cli::Between(0, 1));
    f("warmup", warmup,
      "epochs: a line from zero; auto-cser: the paper's rule, longer for larger ratios, by epochs");
    f("warmup_epochs", warmup_epochs, "length of a warm-up", cli::AtLeast(0));
    f("warmup_weight", warmup_weight, "w of the paper's rule", cli::AtLeast(0));
  }
};

class LearningRate {
 public:
  //   ratio  of the messages between resets, for auto-cser: R_C2 of CSER, R_C1 of CSEA, H R_C1 of
  //          CSER-PL
  LearningRate(const RateOptions& options, int64_t steps, int64_t steps_per_epoch, double ratio);

  double At(int64_t step) const;  // of the update that follows `step` updates
  double warmup_epochs() const { return warmup_epochs_; }

 private:
  RateOptions options_;
  int64_t steps_, steps_per_epoch_;
  double warmup_epochs_ = 0;
};

// The ratio that auto-cser goes by; 1 for algorithms outside of CSER's family, which do not warm
// up.
double WarmupRatio(AlgorithmKind kind, const ResolvedAlgorithm& resolved);

}  // namespace orchard::sync
