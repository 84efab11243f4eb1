#include "sync/image_batches.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/permutation.h"
#include "data/cifar.h"
#include "data/open_dataset.h"
#include "data/shards.h"
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
      return {std::move(train), data::SyntheticShapes(shapes, seed)};
    }
  }
  throw UsageError("unknown data", "data.kind");
}

std::vector<int32_t> Labels(const data::ImageDataset& images) {
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < images.size(); ++i) labels.push_back(images.Label(i));
  return labels;
}

data::ShardKind KindOf(Shard shard) {
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

}  // namespace

ImageData OpenImageData(const SyncDataOptions& options, uint64_t seed) {
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
  ImageData data{std::move(train), std::move(test), or_measured(options.mean, measured.mean),
                 or_measured(options.deviation, measured.deviation)};
  for (double& d : data.deviation) d = d > 0 ? d : 1;  // a channel of one colour
  return data;
}

RankBatches::RankBatches(const ImageData& data, const SyncDataOptions& options, int rank, int ranks,
                         uint64_t seed, ThreadPool& pool)
    : data_(data), batch_(options.batch), rank_(rank), ranks_(ranks), seed_(seed), pool_(pool) {
  const std::vector<int32_t> labels = Labels(data.train);
  auto shards = data::MakeShards(labels, ranks, KindOf(options.shard), options.alpha, seed);
  label_skew_ = data::LabelSkew(labels, shards);
  size_t smallest = shards[0].size();
  for (const auto& shard : shards) smallest = std::min(smallest, shard.size());
  steps_per_epoch_ = static_cast<int64_t>(smallest) / batch_;
  if (steps_per_epoch_ == 0) {
    throw UsageError(
        fmt::format("a rank has {} samples, fewer than a batch of {}", smallest, batch_),
        "data.batch", "fewer ranks, or a smaller batch");
  }
  shard_ = std::move(shards[rank]);
  for (size_t c = 0; c < data.mean.size(); ++c) {
    for (int v = 0; v < 256; ++v) {
      normalised_.push_back(static_cast<float>((v / 255.0 - data.mean[c]) / data.deviation[c]));
    }
  }
  if (options.augment) {
    data::AugmentOptions augment;
    augment.crop_padding = options.crop_padding;
    augment.flip = true;
    augment.mean = data.mean;
    augment.deviation = data.deviation;
    augmenter_.emplace(data.train, augment, seed);
  }
}

ImageBatchTensors RankBatches::Plain(const data::ImageDataset& images,
                                     std::span<const int64_t> indices) const {
  const auto count = std::ssize(indices);
  const int64_t plane = images.height() * images.width(), size = images.channels() * plane;
  ImageBatchTensors batch{at::empty({count, images.channels(), images.height(), images.width()},
                                    at::TensorOptions().dtype(at::kFloat)),
                          at::empty({count}, at::TensorOptions().dtype(at::kLong))};
  float* pixels = batch.images.mutable_data_ptr<float>();
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

ImageBatchTensors RankBatches::Train(int64_t step) const {
  const int64_t epoch = step / steps_per_epoch_, first = step % steps_per_epoch_ * batch_;
  const Permutation order(std::ssize(shard_), seed_, Hash64("sync.order"),
                          static_cast<uint64_t>(epoch * ranks_ + rank_));
  std::vector<int64_t> indices;
  for (int64_t i = first; i < first + batch_; ++i) indices.push_back(shard_[order(i)]);
  if (!augmenter_) return Plain(data_.train, indices);
  std::vector<data::Sample> samples;
  for (const int64_t index : indices) samples.push_back({step, epoch, index});
  const data::ImageBatch made = augmenter_->Train(samples, pool_);
  ImageBatchTensors batch{at::empty({made.rows, made.channels, made.height, made.width},
                                    at::TensorOptions().dtype(at::kFloat)),
                          at::empty({made.rows}, at::TensorOptions().dtype(at::kLong))};
  std::copy(made.pixels.begin(), made.pixels.end(), batch.images.mutable_data_ptr<float>());
  std::copy(made.labels.begin(), made.labels.end(), batch.labels.mutable_data_ptr<int64_t>());
  return batch;
}

ImageBatchTensors RankBatches::Test(int64_t first, int64_t count) const {
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), first);
  return Plain(data_.test, indices);
}

}  // namespace orchard::sync
