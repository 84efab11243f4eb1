#include "sync/picture_data.h"

#include <ATen/ops/empty.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/hash.h"

namespace orchard::sync {
namespace {

namespace fs = std::filesystem;

// Of ImageNet's training pictures.
constexpr double kMean[] = {123.68 / 255, 116.779 / 255, 103.939 / 255};
constexpr double kDeviation[] = {58.393 / 255, 57.12 / 255, 57.375 / 255};

std::vector<double> Or(const std::vector<double>& given, const double (&usual)[3]) {
  if (given.empty()) return {usual, usual + 3};
  if (given.size() == 3) return given;
  throw UsageError("one number per channel is needed", "data.mean, data.deviation");
}

class PictureBatches : public RankBatches {
 public:
  PictureBatches(const PictureData& data, ImageShards shards, const SyncDataOptions& options,
                 int rank, uint64_t seed, ThreadPool& pool)
      : RankBatches(std::move(shards.shards), shards.skew, options.batch, rank, seed),
        data_(data),
        augment_(options.augment),
        seed_(seed),
        pool_(pool) {}

  LabelledBatch Test(int64_t first, int64_t count) const override {
    std::vector<int64_t> indices(static_cast<size_t>(count));
    std::iota(indices.begin(), indices.end(), first);
    return Read(data_.test(), indices, [&](const io::Image& picture, int64_t, auto out) {
      data::CenterCrop(picture, data_.crop(), out);
    });
  }

 protected:
  LabelledBatch Training(const std::vector<int64_t>& indices, int64_t,
                         int64_t epoch) const override {
    return Read(data_.train(), indices, [&](const io::Image& picture, int64_t index, auto out) {
      if (!augment_) return data::CenterCrop(picture, data_.crop(), out);
      data::RandomStream random(seed_, "sync.crop", static_cast<uint64_t>(index),
                                static_cast<uint64_t>(epoch));
      data::RandomCrop(picture, data_.crop(), random, out);
    });
  }

 private:
  template <class Crop>
  LabelledBatch Read(const data::PictureFolder& pictures, const std::vector<int64_t>& indices,
                     const Crop& crop) const {
    const int64_t count = std::ssize(indices), side = data_.crop().size, size = 3 * side * side;
    LabelledBatch batch{at::empty({count, 3, side, side}, at::TensorOptions().dtype(at::kFloat)),
                        at::empty({count}, at::TensorOptions().dtype(at::kLong))};
    float* pixels = batch.inputs.mutable_data_ptr<float>();
    int64_t* labels = batch.labels.mutable_data_ptr<int64_t>();
    pool_.ForEach(count, [&](int64_t i) {
      const auto at = static_cast<size_t>(indices[i]);
      const io::Image picture = io::ReadImage(pictures.files[at], io::Color::kRgb);
      crop(picture, indices[i], std::span(pixels + i * size, static_cast<size_t>(size)));
      labels[i] = pictures.labels[at];
    });
    return batch;
  }

  const PictureData& data_;
  bool augment_;
  uint64_t seed_;
  ThreadPool& pool_;
};

void Limit(data::PictureFolder& pictures, int64_t limit) {
  if (limit == 0 || limit >= std::ssize(pictures.files)) return;
  pictures.files.resize(static_cast<size_t>(limit));
  pictures.labels.resize(static_cast<size_t>(limit));
}

}  // namespace

PictureData::PictureData(data::PictureFolder train, data::PictureFolder test,
                         data::CropOptions crop)
    : train_(std::move(train)), test_(std::move(test)), crop_(std::move(crop)) {}

nn::ImageShape PictureData::shape() const {
  return {3, crop_.size, crop_.size, std::ssize(train_.classes)};
}

std::string PictureData::Digest() const {
  Sha256 hash;
  for (const data::PictureFolder* pictures : {&train_, &test_}) {
    for (size_t i = 0; i < pictures->files.size(); ++i) {
      const std::string line = pictures->classes[static_cast<size_t>(pictures->labels[i])] + "/" +
                               pictures->files[i].filename().string() + "\n";
      hash.Update(std::as_bytes(std::span(line)));
    }
  }
  return hash.Hex();
}

std::unique_ptr<nn::Classifier> PictureData::MakeNetwork(const SyncModelOptions& options,
                                                         uint64_t seed) const {
  return MakeImageClassifier(options, shape(), seed);
}

nlohmann::json PictureData::Config(const SyncModelOptions& options) const {
  return ImageConfig(options, shape(), {crop_.mean, crop_.deviation});
}

std::unique_ptr<RankBatches> PictureData::Batches(const SyncDataOptions& options, int rank,
                                                  int ranks, uint64_t seed,
                                                  ThreadPool& pool) const {
  return std::make_unique<PictureBatches>(
      *this,
      ShardImages(train_.labels, static_cast<int32_t>(train_.classes.size()), options, ranks, seed),
      options, rank, seed, pool);
}

std::unique_ptr<PictureData> OpenPictureData(const SyncDataOptions& o) {
  if (!o.path) throw UsageError("this kind of data needs a path", "data.path");
  const bool both = !o.test && fs::is_directory(*o.path / "train");
  if (!both && !o.test) {
    throw UsageError("there are no pictures to test on", "data.test",
                     "a folder of classes, or train/ and val/ in data.path");
  }
  data::PictureFolder train = data::ListPictures(both ? *o.path / "train" : *o.path);
  data::PictureFolder test = data::ListPictures(both ? *o.path / "val" : *o.test, train.classes);
  Limit(train, o.train_limit);
  Limit(test, o.test_limit);
  data::CropOptions crop{.size = o.crop_size,
                         .jitter = o.color_jitter,
                         .lighting = o.lighting,
                         .mean = Or(o.mean, kMean),
                         .deviation = Or(o.deviation, kDeviation)};
  return std::make_unique<PictureData>(std::move(train), std::move(test), std::move(crop));
}

}  // namespace orchard::sync
