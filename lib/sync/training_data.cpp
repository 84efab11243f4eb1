#include "sync/training_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/permutation.h"
#include "sync/image_data.h"
#include "sync/picture_data.h"
#include "sync/text_data.h"

namespace orchard::sync {

RankBatches::RankBatches(std::vector<std::vector<int64_t>> shards, const Skew& skew, int64_t batch,
                         int rank, uint64_t seed)
    : skew_(skew),
      batch_(batch),
      rank_(rank),
      ranks_(static_cast<int>(shards.size())),
      seed_(seed) {
  size_t smallest = shards[0].size();
  for (const auto& shard : shards) smallest = std::min(smallest, shard.size());
  steps_per_epoch_ = static_cast<int64_t>(smallest) / batch_;
  if (steps_per_epoch_ == 0) {
    throw UsageError(
        fmt::format("a rank has {} samples, fewer than a batch of {}", smallest, batch_),
        "data.batch", "fewer ranks, or a smaller batch");
  }
  shard_ = std::move(shards[static_cast<size_t>(rank)]);
}

LabelledBatch RankBatches::Train(int64_t step) const {
  const int64_t epoch = step / steps_per_epoch_, first = step % steps_per_epoch_ * batch_;
  const Permutation order(std::ssize(shard_), seed_, Hash64("sync.order"),
                          static_cast<uint64_t>(epoch * ranks_ + rank_));
  std::vector<int64_t> indices;
  for (int64_t i = first; i < first + batch_; ++i) indices.push_back(shard_[order(i)]);
  return Training(indices, step, epoch);
}

std::unique_ptr<const TrainingData> OpenTrainingData(const SyncDataOptions& options,
                                                     uint64_t seed) {
  switch (options.kind) {
    case DataKind::kText:
      return OpenTextData(options);
    case DataKind::kImageNet:
      return OpenPictureData(options);
    default:
      return OpenImageData(options, seed);
  }
}

}  // namespace orchard::sync
