#include "sync/drift_monitor.h"

#include <fmt/format.h>

#include <utility>

namespace orchard::sync {
namespace {

// From here on statistics of one rank's model say little about the averaged one.
constexpr double kStatisticsLimit = 0.05;
// The averaged model is stuck after so many evaluations in which the ranks' loss fell by a tenth.
constexpr int kStuckAfter = 3;
constexpr double kFallen = 0.9;

}  // namespace

std::vector<std::string> DriftMonitor::After(double loss, double top1, double drift) {
  std::vector<std::string> texts;
  if (drift > limit_ && !std::exchange(said_drift_, true)) {
    texts.push_back(
        fmt::format("models are {:.2f} of their mean's norm apart from it: lower schedule.lr, "
                    "compress.ratio or compress.interval",
                    drift));
  }
  if (own_statistics_ && drift > kStatisticsLimit && !std::exchange(said_statistics_, true)) {
    texts.emplace_back(
        "batch norms use statistics of each rank's own model, and models are apart: --bn average "
        "or --bn recalibrate");
  }
  if (top1 > best_top1_) {
    best_top1_ = top1;
    loss_at_best_ = loss;
    evaluations_since_ = 0;
    return texts;
  }
  ++evaluations_since_;
  if (evaluations_since_ >= kStuckAfter && loss < kFallen * loss_at_best_ &&
      drift > kStatisticsLimit && !std::exchange(said_stuck_, true)) {
    texts.emplace_back(
        "the ranks' loss falls but their averaged model does not get better: lower schedule.lr or "
        "compress.interval");
  }
  return texts;
}

}  // namespace orchard::sync
