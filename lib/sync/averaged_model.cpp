#include "sync/averaged_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "sync/device.h"

namespace orchard::sync {
namespace {

// While it lives, the replica holds other values.
class Borrowed {
 public:
  Borrowed(std::span<float> place, std::span<const float> values)
      : place_(place), own_(place.begin(), place.end()) {
    std::copy(values.begin(), values.end(), place.begin());
  }
  ~Borrowed() { std::copy(own_.begin(), own_.end(), place_.begin()); }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

 private:
  std::span<float> place_;
  std::vector<float> own_;
};

std::vector<float> MeanOf(std::span<const float> own, comm::Communicator& ranks) {
  std::vector<float> mean(own.begin(), own.end());
  if (ranks.size() == 1 || mean.empty()) return mean;
  ranks.AllReduce(std::span<float>(mean));
  const float factor = 1.0f / static_cast<float>(ranks.size());
  for (float& value : mean) value *= factor;
  return mean;
}

// Measures the norms' statistics of the model in place; leaves the mean over ranks in them.
void Recalibrate(Replica& replica, const RankBatches& batches, int64_t step, int64_t count,
                 comm::Communicator& ranks) {
  for (int64_t i = 0; i < count; ++i) {
    replica.MeasureStatistics(batches.Train(step + i).inputs);
  }
  const std::vector<float> mean = MeanOf(replica.statistics(), ranks);
  std::copy(mean.begin(), mean.end(), replica.statistics().begin());
}

}  // namespace

AveragedModel Average(Replica& replica, const Algorithm<float>* algorithm,
                      comm::Communicator& ranks) {
  AveragedModel averaged;
  std::vector<float> own(replica.values().begin(), replica.values().end());
  if (algorithm != nullptr) algorithm->AddHeldBack(own);
  averaged.statistics = MeanOf(replica.statistics(), ranks);
  if (algorithm == nullptr || algorithm->OneModel() || ranks.size() == 1) {
    averaged.values = std::move(own);
    return averaged;
  }
  averaged.values = MeanOf(own, ranks);
  const DriftSums sums =
      SumDrift(replica.device(), std::ssize(own), own.data(), averaged.values.data());
  std::array<double, 1> apart = {sums.apart};
  ranks.AllReduce(std::span<double>(apart));
  averaged.drift = sums.norm > 0 ? std::sqrt(apart[0] / ranks.size() / sums.norm) : 0;
  return averaged;
}

Evaluation EvaluateAverage(Replica& replica, const Algorithm<float>* algorithm,
                           const RankBatches& batches, int64_t test_size, int64_t step,
                           const SyncEvaluationOptions& options, comm::Communicator& ranks) {
  const AveragedModel averaged = Average(replica, algorithm, ranks);
  const Borrowed values(replica.values(), averaged.values);
  const bool own_norms = options.bn == NormEvaluation::kRankMean;
  const std::span<const float> statistics =
      own_norms ? replica.statistics() : std::span<const float>(averaged.statistics);
  const Borrowed norms(replica.statistics(), statistics);
  if (options.bn == NormEvaluation::kRecalibrate && !replica.statistics().empty()) {
    Recalibrate(replica, batches, step, options.recalibrate_batches, ranks);
  }
  std::array<double, 4> sums{};  // loss, first, among five, predictions
  const int64_t count = (test_size + options.batch - 1) / options.batch;
  // With norms of their own all ranks see everything, and their scores are averaged.
  const int64_t first = own_norms ? 0 : ranks.rank(), stride = own_norms ? 1 : ranks.size();
  for (int64_t b = first; b < count; b += stride) {
    const int64_t begin = b * options.batch;
    const int64_t size = std::min(options.batch, test_size - begin);
    const LabelledBatch batch = batches.Test(begin, size);
    const Replica::Scores scores = replica.Evaluate(batch.inputs, batch.labels);
    sums[0] += scores.loss;
    sums[1] += static_cast<double>(scores.top1);
    sums[2] += static_cast<double>(scores.top5);
    sums[3] += static_cast<double>(batch.labels.size(0));
  }
  ranks.AllReduce(std::span<double>(sums));
  return {sums[0] / sums[3], sums[1] / sums[3], sums[2] / sums[3], averaged.drift};
}

}  // namespace orchard::sync
