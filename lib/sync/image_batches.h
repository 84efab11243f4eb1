// Images for data-parallel training: what all ranks share, and the batches of one rank.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "data/augment.h"
#include "data/image_dataset.h"
#include "sync/train_options.h"

namespace orchard::sync {

struct ImageData {
  data::ImageDataset train, test;
  std::vector<double> mean, deviation;  // per channel, of pixels in [0, 1]
};

// Throws DataError (file, record), UsageError.
ImageData OpenImageData(const SyncDataOptions& options, uint64_t seed);

struct ImageBatchTensors {
  at::Tensor images;  // [N, C, H, W] f32, normalised
  at::Tensor labels;  // [N] int64
};

// What a rank sees. It keeps to its own shard, in another order in every epoch, and drops the last
// partial batch.
class RankBatches {
 public:
  // Throws UsageError when a rank has fewer samples than a batch. `data` must outlive this.
  RankBatches(const ImageData& data, const SyncDataOptions& options, int rank, int ranks,
              uint64_t seed, ThreadPool& pool);

  // The same for all ranks: that of the smallest shard.
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  // How unlike the labels of ranks are, see data::LabelSkew.
  double label_skew() const { return label_skew_; }

  // The batch of the step that follows `step` steps.
  ImageBatchTensors Train(int64_t step) const;
  // Test images [first, first + count).
  ImageBatchTensors Test(int64_t first, int64_t count) const;

 private:
  ImageBatchTensors Plain(const data::ImageDataset& images, std::span<const int64_t> indices) const;

  const ImageData& data_;
  int64_t batch_;
  int rank_, ranks_;
  uint64_t seed_;
  ThreadPool& pool_;
  std::vector<int64_t> shard_;
  int64_t steps_per_epoch_ = 0;
  double label_skew_ = 0;
  std::vector<float> normalised_;  // [channels, 256]: what a pixel becomes
  std::optional<data::Augmenter> augmenter_;
};

}  // namespace orchard::sync
