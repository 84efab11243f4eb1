#include "sync/learning_rate.h"

#include <algorithm>
#include <cmath>

#include "sync/train_options.h"

namespace orchard::sync {

LearningRate::LearningRate(const RateOptions& options, int64_t steps, int64_t steps_per_epoch,
                           double ratio)
    : options_(options), steps_(steps), steps_per_epoch_(steps_per_epoch) {
  if (options.warmup == Warmup::kEpochs) warmup_epochs_ = options.warmup_epochs;
  if (options.warmup == Warmup::kAutoCser && ratio > 1) {
    // max(4, round(ratio 5/128 (lr / 0.05) w)), half to even.
    const double epochs = ratio * (5.0 / 128) * (options.lr / 0.05) * options.warmup_weight;
    warmup_epochs_ = std::max(4.0, std::nearbyint(epochs));
  }
}

double LearningRate::At(int64_t step) const {
  const auto t = static_cast<double>(step);
  const double part = t / static_cast<double>(steps_);
  double rate = options_.lr;
  if (options_.schedule == RateShape::kStep) {
    for (const double milestone : options_.milestones) {
      if (part >= milestone) rate *= options_.factor;
    }
  } else if (options_.schedule == RateShape::kCosine) {
    rate *= 0.5 * (1 + std::cos(3.141592653589793 * std::min(1.0, part)));
  }
  if (warmup_epochs_ == 0) return rate;
  // The paper's rule rises by epochs, the other one by steps.
  const double epoch = t / static_cast<double>(steps_per_epoch_);
  const double done = options_.warmup == Warmup::kAutoCser
                          ? std::floor(epoch) + 1
                          : (t + 1) / static_cast<double>(steps_per_epoch_);
  return rate * std::min(1.0, done / warmup_epochs_);
}

double WarmupRatio(AlgorithmKind kind, const ResolvedAlgorithm& r) {
  switch (kind) {
    case AlgorithmKind::kCser:
      return r.c2_selector.ratio;
    case AlgorithmKind::kCsea:
    case AlgorithmKind::kSparta:
      return r.c1_selector.ratio;
    case AlgorithmKind::kCserPl:
    case AlgorithmKind::kLocalSgd:
      return r.c1_selector.ratio * static_cast<double>(r.interval);
    default:
      return 1;
  }
}

RatioStages StagesOf(const SyncTrainOptions& options, const LearningRate& rate, int64_t steps) {
  if (options.optim.algo == AlgorithmKind::kPowerSgd) return {};
  return StagesOf([&](int64_t t) { return rate.At(t - 1); }, steps, options.compress.dense_steps,
                  options.compress.ratio_growth);
}

}  // namespace orchard::sync
