// Pictures of any size as training data, decoded as they are needed: ImageNet.
#pragma once

#include <memory>
#include <string>

#include "data/picture_folder.h"
#include "sync/image_data.h"
#include "sync/training_data.h"

namespace orchard::sync {

class PictureData : public TrainingData {
 public:
  PictureData(data::PictureFolder train, data::PictureFolder test, data::CropOptions crop);

  int64_t train_size() const override { return std::ssize(train_.files); }
  int64_t test_size() const override { return std::ssize(test_.files); }
  // Of names and labels; pictures are not read for it.
  std::string Digest() const override;
  std::unique_ptr<nn::Classifier> MakeNetwork(const SyncModelOptions& options,
                                              uint64_t seed) const override;
  nlohmann::json Config(const SyncModelOptions& options) const override;
  std::unique_ptr<RankBatches> Batches(const SyncDataOptions& options, int rank, int ranks,
                                       uint64_t seed, ThreadPool& pool) const override;

  const data::PictureFolder& train() const { return train_; }
  const data::PictureFolder& test() const { return test_; }
  const data::CropOptions& crop() const { return crop_; }

 private:
  nn::ImageShape shape() const;

  data::PictureFolder train_, test_;
  data::CropOptions crop_;
};

// data.path and data.test, or `train` and `val` in data.path. Throws DataError, UsageError. A
// picture that cannot be decoded is found out when it is needed (DataError, file).
std::unique_ptr<PictureData> OpenPictureData(const SyncDataOptions& options);

}  // namespace orchard::sync
