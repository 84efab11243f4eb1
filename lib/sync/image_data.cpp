#include "sync/image_data.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "data/augment.h"
#include "data/cifar.h"
#include "data/open_dataset.h"
#include "data/synthetic_shapes.h"

namespace orchard::sync {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFashionMnist = "/usr/share/datasets/fashion-mnist";

// The first `limit` images.
data::ImageDataset Limit(data::ImageDataset images, int64_t limit, int32_t classes) {
  if (limit == 0 || limit >= images.size()) limit = images.size();
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < limit; ++i) {
    const auto image = images.Image(i);
    pixels.insert(pixels.end(), image.begin(), image.end());
    labels.push_back(images.Label(i));
  }
  return data::ImageDataset(images.channels(), images.height(), images.width(), std::move(pixels),
                            std::move(labels), classes);
}

// `name` in `folder`, or `name`.gz.
fs::path IdxFile(const fs::path& folder, const std::string& name) {
  for (const char* suffix : {"", ".gz"}) {
    const fs::path path = folder / (name + suffix);
    if (fs::exists(path)) return path;
  }
  throw DataError("Fashion-MNIST is not there", (folder / name).string() + "[.gz]",
                  "install the package dataset-fashion-mnist, give data.path, or set data.kind to "
                  "synthetic");
}

data::ImageDataset FashionMnist(const fs::path& folder, const char* part, int64_t limit) {
  constexpr int32_t kClasses = 10;
  const fs::path path = IdxFile(folder, std::string(part) + "-images-idx3-ubyte");
  data::ImageDataset images = data::OpenImages(path);
  for (int64_t i = 0; i < images.size(); ++i) {
    if (images.Label(i) >= kClasses) {
      throw DataError(fmt::format("label {} lies outside the 10 classes", images.Label(i)),
                      fmt::format("labels of {}: record {}", path.string(), i));
    }
  }
  return Limit(std::move(images), limit, kClasses);
}

data::ImageDataset Cifar(const fs::path& folder, bool train, int32_t classes, int64_t limit) {
  std::vector<fs::path> files;
  if (classes == 100) {
    files.push_back(folder / (train ? "train.bin" : "test.bin"));
  } else if (train) {
    for (int i = 1; i <= 5; ++i) files.push_back(folder / fmt::format("data_batch_{}.bin", i));
  } else {
    files.push_back(folder / "test_batch.bin");
  }
  return Limit(data::ReadCifar(files, classes), limit, classes);
}

fs::path Required(const std::optional<fs::path>& path, const char* key) {
  if (!path) throw UsageError("this kind of data needs a path", key);
  return *path;
}

std::pair<data::ImageDataset, data::ImageDataset> Open(const SyncDataOptions& o, uint64_t seed) {
  switch (o.kind) {
    case DataKind::kFashionMnist: {
      const fs::path folder = o.path.value_or(kFashionMnist);
      return {FashionMnist(folder, "train", o.train_limit),
              FashionMnist(folder, "t10k", o.test_limit)};
    }
    case DataKind::kCifar10:
    case DataKind::kCifar100: {
      const fs::path folder = Required(o.path, "data.path");
      const int32_t classes = o.kind == DataKind::kCifar10 ? 10 : 100;
      return {Cifar(folder, true, classes, o.train_limit),
              Cifar(folder, false, classes, o.test_limit)};
    }
    case DataKind::kImages: {
      data::ImageDataset train = data::OpenImages(Required(o.path, "data.path"));
      data::ImageDataset test = data::OpenImages(Required(o.test, "data.test"));
      const int32_t classes = std::max(train.classes(), test.classes());
      return {Limit(std::move(train), o.train_limit, classes),
              Limit(std::move(test), o.test_limit, classes)};
    }
    case DataKind::kSynthetic: {
      data::ShapeOptions shapes{.count = o.synthetic, .size = 28};
      data::ImageDataset train = data::SyntheticShapes(shapes, seed);
      shapes.first = static_cast<uint64_t>(o.synthetic);
      shapes.count = std::max<int64_t>(10, o.synthetic / 5);
      const int32_t classes = train.classes();
      return {Limit(std::move(train), o.train_limit, classes),
              Limit(data::SyntheticShapes(shapes, seed), o.test_limit, classes)};
    }
    case DataKind::kText:
    case DataKind::kImageNet:
      break;
  }
  throw UsageError("unknown data", "data.kind");
}

std::vector<int32_t> Labels(const data::ImageDataset& images) {
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < images.size(); ++i) labels.push_back(images.Label(i));
  return labels;
}

// Batches of one rank, and all test images.
class ImageBatches : public RankBatches {
 public:
  ImageBatches(const ImageData& data, const SyncDataOptions& options, ImageShards shards, int rank,
               uint64_t seed, ThreadPool& pool)
      : RankBatches(std::move(shards.shards), shards.skew, options.batch, rank, seed),
        data_(data),
        pool_(pool) {
    const auto& [mean, deviation] = data.statistics();
    for (size_t c = 0; c < mean.size(); ++c) {
      for (int v = 0; v < 256; ++v) {
        normalised_.push_back(static_cast<float>((v / 255.0 - mean[c]) / deviation[c]));
      }
    }
    if (!options.augment) return;
    data::AugmentOptions augment;
    augment.crop_padding = options.crop_padding;
    augment.flip = true;
    augment.mean = mean;
    augment.deviation = deviation;
    augmenter_.emplace(data.train(), augment, seed);
  }

  LabelledBatch Test(int64_t first, int64_t count) const override {
    std::vector<int64_t> indices(static_cast<size_t>(count));
    std::iota(indices.begin(), indices.end(), first);
    return Plain(data_.test(), indices);
  }

 protected:
  LabelledBatch Training(const std::vector<int64_t>& indices, int64_t step,
                         int64_t epoch) const override {
    if (!augmenter_) return Plain(data_.train(), indices);
    std::vector<data::Sample> samples;
    for (const int64_t index : indices) samples.push_back({step, epoch, index});
    const data::ImageBatch made = augmenter_->Train(samples, pool_);
    LabelledBatch batch{at::empty({made.rows, made.channels, made.height, made.width},
                                  at::TensorOptions().dtype(at::kFloat)),
                        at::empty({made.rows}, at::TensorOptions().dtype(at::kLong))};
    std::copy(made.pixels.begin(), made.pixels.end(), batch.inputs.mutable_data_ptr<float>());
    std::copy(made.labels.begin(), made.labels.end(), batch.labels.mutable_data_ptr<int64_t>());
    return batch;
  }

 private:
  LabelledBatch Plain(const data::ImageDataset& images, std::span<const int64_t> indices) const {
    const auto count = std::ssize(indices);
    const int64_t plane = images.height() * images.width(), size = images.channels() * plane;
    LabelledBatch batch{at::empty({count, images.channels(), images.height(), images.width()},
                                  at::TensorOptions().dtype(at::kFloat)),
                        at::empty({count}, at::TensorOptions().dtype(at::kLong))};
    float* pixels = batch.inputs.mutable_data_ptr<float>();
    int64_t* labels = batch.labels.mutable_data_ptr<int64_t>();
    for (int64_t i = 0; i < count; ++i) {
      const std::span<const uint8_t> image = images.Image(indices[i]);
      for (int64_t c = 0; c < images.channels(); ++c) {
        const float* table = &normalised_[c * 256];
        float* out = pixels + i * size + c * plane;
        const uint8_t* in = image.data() + c * plane;
        for (int64_t k = 0; k < plane; ++k) out[k] = table[in[k]];
      }
      labels[i] = images.Label(indices[i]);
    }
    return batch;
  }

  const ImageData& data_;
  ThreadPool& pool_;
  std::vector<float> normalised_;  // [channels, 256]: what a pixel becomes
  std::optional<data::Augmenter> augmenter_;
};

}  // namespace

std::unique_ptr<ImageData> OpenImageData(const SyncDataOptions& options, uint64_t seed) {
  auto [train, test] = Open(options, seed);
  if (train.channels() != test.channels() || train.height() != test.height() ||
      train.width() != test.width()) {
    throw DataError("images for training and testing differ in size", "data.test");
  }
  const data::ChannelStatistics measured = data::MeasureChannels(train);
  const auto or_measured = [&](const std::vector<double>& given, std::vector<double> otherwise) {
    if (given.empty()) return otherwise;
    if (std::ssize(given) != train.channels()) {
      throw UsageError("one number per channel is needed", "data.mean, data.deviation");
    }
    return given;
  };
  ImageData::Statistics statistics{or_measured(options.mean, measured.mean),
                                   or_measured(options.deviation, measured.deviation)};
  for (const double d : options.deviation) {
    if (!(d > 0)) throw UsageError("a deviation must be positive", "data.deviation");
  }
  for (double& d : statistics.deviation) d = d > 0 ? d : 1;  // a channel of one colour
  return std::make_unique<ImageData>(std::move(train), std::move(test), std::move(statistics));
}

ImageData::ImageData(data::ImageDataset train, data::ImageDataset test, Statistics statistics)
    : train_(std::move(train)), test_(std::move(test)), statistics_(std::move(statistics)) {}

std::string ImageData::Digest() const {
  std::call_once(hashed_, [this] {
    Sha256 hash;
    for (const data::ImageDataset* images : {&train_, &test_}) {
      const std::vector<int32_t> labels = Labels(*images);
      hash.Update(std::as_bytes(std::span(labels)));
      for (int64_t i = 0; i < images->size(); ++i) hash.Update(std::as_bytes(images->Image(i)));
    }
    digest_ = hash.Hex();
  });
  return digest_;
}

std::unique_ptr<nn::Classifier> ImageData::MakeNetwork(const SyncModelOptions& options,
                                                       uint64_t seed) const {
  return MakeImageClassifier(
      options, {train_.channels(), train_.height(), train_.width(), train_.classes()}, seed);
}

nlohmann::json ImageData::Config(const SyncModelOptions& options) const {
  return ImageConfig(
      options, {train_.channels(), train_.height(), train_.width(), train_.classes()}, statistics_);
}

std::unique_ptr<RankBatches> ImageData::Batches(const SyncDataOptions& options, int rank, int ranks,
                                                uint64_t seed, ThreadPool& pool) const {
  return std::make_unique<ImageBatches>(
      *this, options, ShardImages(Labels(train_), train_.classes(), options, ranks, seed), rank,
      seed, pool);
}

std::unique_ptr<nn::Classifier> MakeImageClassifier(const SyncModelOptions& options,
                                                    const nn::ImageShape& shape, uint64_t seed) {
  nn::ImageNetworkOptions network;
  network.shape = shape;
  network.init = options.torch_init ? nn::WeightInit::kTorch : nn::WeightInit::kXavier;
  network.stem_norms = options.stem_norms;
  network.seed = seed;
  return nn::MakeImageNetwork(options.arch, network);
}

nlohmann::json ImageConfig(const SyncModelOptions& options, const nn::ImageShape& shape,
                           const ImageData::Statistics& statistics) {
  return {
      {"model_type", "image-network"},    {"arch", options.arch},
      {"stem_norms", options.stem_norms}, {"image", {shape.channels, shape.height, shape.width}},
      {"classes", shape.classes},         {"mean", statistics.mean},
      {"deviation", statistics.deviation}};
}

ImageShards ShardImages(std::span<const int32_t> labels, int32_t classes,
                        const SyncDataOptions& options, int ranks, uint64_t seed) {
  ImageShards made{data::MakeShards(labels, ranks, ShardKindOf(options.shard), options.alpha, seed),
                   {}};
  const auto samples = static_cast<double>(std::ssize(labels)) / ranks;
  made.skew = {data::LabelSkew(labels, made.shards), 0.5 * std::sqrt(classes / samples)};
  return made;
}

data::ShardKind ShardKindOf(Shard shard) {
  switch (shard) {
    case Shard::kShuffled:
      return data::ShardKind::kShuffled;
    case Shard::kContiguous:
      return data::ShardKind::kContiguous;
    case Shard::kStrided:
      return data::ShardKind::kStrided;
    case Shard::kByLabel:
      return data::ShardKind::kByLabel;
    case Shard::kDirichlet:
      break;
  }
  return data::ShardKind::kDirichlet;
}

}  // namespace orchard::sync
