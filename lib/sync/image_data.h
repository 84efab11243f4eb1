// Images of one size in memory as training data.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "data/image_dataset.h"
#include "data/shards.h"
#include "nn/image_network.h"
#include "sync/training_data.h"

namespace orchard::sync {

class ImageData : public TrainingData {
 public:
  // Per channel, of pixels in [0, 1].
  struct Statistics {
    std::vector<double> mean, deviation;
  };
  ImageData(data::ImageDataset train, data::ImageDataset test, Statistics statistics);

  int64_t train_size() const override { return train_.size(); }
  int64_t test_size() const override { return test_.size(); }
  std::string Digest() const override;
  std::unique_ptr<nn::Classifier> MakeNetwork(const SyncModelOptions& options,
                                              uint64_t seed) const override;
  nlohmann::json Config(const SyncModelOptions& options) const override;
  std::unique_ptr<RankBatches> Batches(const SyncDataOptions& options, int rank, int ranks,
                                       uint64_t seed, ThreadPool& pool) const override;

  const data::ImageDataset& train() const { return train_; }
  const data::ImageDataset& test() const { return test_; }
  const Statistics& statistics() const { return statistics_; }

 private:
  data::ImageDataset train_, test_;
  Statistics statistics_;
  mutable std::once_flag hashed_;  // simulated ranks share the data
  mutable std::string digest_;
};

// All kinds but texts and pictures that are decoded as they are needed.
std::unique_ptr<ImageData> OpenImageData(const SyncDataOptions& options, uint64_t seed);

// What kinds of images share.
std::unique_ptr<nn::Classifier> MakeImageClassifier(const SyncModelOptions& options,
                                                    const nn::ImageShape& shape, uint64_t seed);
nlohmann::json ImageConfig(const SyncModelOptions& options, const nn::ImageShape& shape,
                           const ImageData::Statistics& statistics);
struct ImageShards {
  std::vector<std::vector<int64_t>> shards;
  Skew skew;
};
ImageShards ShardImages(std::span<const int32_t> labels, int32_t classes,
                        const SyncDataOptions& options, int ranks, uint64_t seed);
data::ShardKind ShardKindOf(Shard shard);

}  // namespace orchard::sync
