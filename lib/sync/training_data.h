// What ranks train on, whatever its kind: the batches of one rank, and the network that fits.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "nn/classifier.h"
#include "sync/train_options.h"

namespace orchard::sync {

struct LabelledBatch {
  at::Tensor inputs;  // images [N, C, H, W] f32, normalised, or tokens [N, T] int64
  at::Tensor labels;  // one int64 per prediction: [N], or [N T]
};

// How unlike the labels of ranks are (data::LabelSkew), and what as many labels drawn at random
// would come to.
struct Skew {
  double measured = 0, by_chance = 0;
};

// What a rank sees. It keeps to its own shard, in another order in every epoch, and drops the last
// partial batch.
class RankBatches {
 public:
  virtual ~RankBatches() = default;

  // The same for all ranks: that of the smallest shard.
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  const Skew& skew() const { return skew_; }

  // The batch of the step that follows `step` steps.
  LabelledBatch Train(int64_t step) const;
  // Test samples [first, first + count).
  virtual LabelledBatch Test(int64_t first, int64_t count) const = 0;

 protected:
  // `shards` of all ranks. Throws UsageError when one has fewer samples than a batch.
  RankBatches(std::vector<std::vector<int64_t>> shards, const Skew& skew, int64_t batch, int rank,
              uint64_t seed);

  // Training samples by their indices, augmented for this epoch where that is asked for.
  virtual LabelledBatch Training(const std::vector<int64_t>& indices, int64_t step,
                                 int64_t epoch) const = 0;

 private:
  std::vector<int64_t> shard_;
  Skew skew_;
  int64_t batch_;
  int rank_, ranks_;
  uint64_t seed_;
  int64_t steps_per_epoch_ = 0;
};

class TrainingData {
 public:
  virtual ~TrainingData() = default;

  virtual int64_t train_size() const = 0;  // samples: images, or windows of a text
  virtual int64_t test_size() const = 0;
  // Whether a prediction is that of a byte, so that losses are told in bits per byte, too.
  virtual bool predicts_bytes() const { return false; }
  // A digest of what ranks must have in common.
  virtual std::string Digest() const = 0;

  // The network that the options ask for, for data like this. Throws UsageError.
  virtual std::unique_ptr<nn::Classifier> MakeNetwork(const SyncModelOptions& options,
                                                      uint64_t seed) const = 0;
  // The config.json beside a trained model.
  virtual nlohmann::json Config(const SyncModelOptions& options) const = 0;

  // The batches of one rank of `ranks`. This and `pool` must outlive them. Throws UsageError.
  virtual std::unique_ptr<RankBatches> Batches(const SyncDataOptions& options, int rank, int ranks,
                                               uint64_t seed, ThreadPool& pool) const = 0;
};

// Simulated ranks may share it. Throws DataError (file, record), UsageError.
std::unique_ptr<const TrainingData> OpenTrainingData(const SyncDataOptions& options, uint64_t seed);

}  // namespace orchard::sync
