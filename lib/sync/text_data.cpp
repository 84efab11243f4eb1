#include "sync/text_data.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "io/mapped_file.h"
#include "nn/transformer_lm.h"
#include "sync/image_data.h"

namespace orchard::sync {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBytes = 256;  // the vocabulary

void Append(const fs::path& file, std::string& text) {
  const io::MappedFile mapped(file);
  text.append(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
}

std::vector<fs::path> FilesOf(const fs::path& folder) {
  std::vector<fs::path> files;
  for (auto it = fs::recursive_directory_iterator(folder); it != fs::end(it); ++it) {
    const bool hidden = it->path().filename().string().starts_with('.');
    if (hidden && it->is_directory()) it.disable_recursion_pending();
    if (!hidden && it->is_regular_file() && it->file_size() > 0) files.push_back(it->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string ReadText(const fs::path& path) {
  std::string text;
  if (!fs::is_directory(path)) {
    Append(path, text);
  } else {
    for (const fs::path& file : FilesOf(path)) Append(file, text);
  }
  if (text.empty()) throw DataError("there is no text: nothing but empty", path.string());
  return text;
}

// Whole windows of a text, each with the byte after it.
int64_t Windows(const std::string& text, const char* part, const SyncDataOptions& o, int64_t limit,
                const std::string& where) {
  const int64_t windows = (std::ssize(text) - 1) / o.context;
  if (windows < 1) {
    throw DataError(fmt::format("{} bytes for {}, fewer than a window of {} and the byte after it",
                                text.size(), part, o.context),
                    where, "a longer text, or a smaller data.context");
  }
  return limit > 0 ? std::min(windows, limit) : windows;
}

using Histogram = std::array<double, kBytes>;

// The largest total variation distance between the bytes of a rank and those of all.
double ByteSkew(const TextData& data, const std::vector<std::vector<int64_t>>& shards) {
  std::vector<Histogram> ranks;
  Histogram all{};
  double total = 0;
  for (const auto& shard : shards) {
    Histogram& own = ranks.emplace_back();
    for (const int64_t window : shard) {
      for (int64_t i = 0; i < data.context(); ++i) {
        own[static_cast<unsigned char>(
            data.train()[static_cast<size_t>(window * data.context() + i)])] += 1;
      }
    }
    const double sum = std::accumulate(own.begin(), own.end(), 0.0);
    for (int64_t b = 0; b < kBytes; ++b) {
      all[b] += own[b];
      own[b] /= std::max(1.0, sum);
    }
    total += sum;
  }
  double largest = 0;
  for (const Histogram& own : ranks) {
    double distance = 0;
    for (int64_t b = 0; b < kBytes; ++b) distance += std::abs(own[b] - all[b] / total) / 2;
    largest = std::max(largest, distance);
  }
  return largest;
}

class TextBatches : public RankBatches {
 public:
  TextBatches(const TextData& data, std::vector<std::vector<int64_t>> shards, const Skew& skew,
              int64_t batch, int rank, uint64_t seed)
      : RankBatches(std::move(shards), skew, batch, rank, seed), data_(data) {}

  LabelledBatch Test(int64_t first, int64_t count) const override {
    std::vector<int64_t> indices(static_cast<size_t>(count));
    std::iota(indices.begin(), indices.end(), first);
    return Cut(data_.test(), indices);
  }

 protected:
  LabelledBatch Training(const std::vector<int64_t>& indices, int64_t, int64_t) const override {
    return Cut(data_.train(), indices);
  }

 private:
  LabelledBatch Cut(const std::string& text, const std::vector<int64_t>& indices) const {
    const int64_t rows = std::ssize(indices), length = data_.context();
    LabelledBatch batch{at::empty({rows, length}, at::TensorOptions().dtype(at::kLong)),
                        at::empty({rows * length}, at::TensorOptions().dtype(at::kLong))};
    int64_t* inputs = batch.inputs.mutable_data_ptr<int64_t>();
    int64_t* labels = batch.labels.mutable_data_ptr<int64_t>();
    for (const int64_t index : indices) {
      const char* window = text.data() + index * length;
      for (int64_t i = 0; i < length; ++i) {
        *inputs++ = static_cast<unsigned char>(window[i]);
        *labels++ = static_cast<unsigned char>(window[i + 1]);
      }
    }
    return batch;
  }

  const TextData& data_;
};

}  // namespace

TextData::TextData(std::string train, std::string test, const SyncDataOptions& options,
                   const std::string& where)
    : train_(std::move(train)),
      test_(std::move(test)),
      context_(options.context),
      train_windows_(Windows(train_, "training", options, options.train_limit, where)),
      test_windows_(Windows(test_, "testing", options, options.test_limit, where)) {}

std::string TextData::Digest() const {
  Sha256 hash;
  hash.Update(std::as_bytes(std::span(train_)));
  hash.Update(std::as_bytes(std::span(test_)));
  return hash.Hex();
}

std::unique_ptr<nn::Classifier> TextData::MakeNetwork(const SyncModelOptions& options,
                                                      uint64_t seed) const {
  return nn::MakeTransformerLm(options.arch,
                               {.vocabulary = kBytes, .context = context_, .seed = seed});
}

nlohmann::json TextData::Config(const SyncModelOptions& options) const {
  nlohmann::json config =
      nn::TransformerLmConfig(options.arch, {.vocabulary = kBytes, .context = context_});
  config["arch"] = options.arch;
  return config;
}

std::unique_ptr<RankBatches> TextData::Batches(const SyncDataOptions& options, int rank, int ranks,
                                               uint64_t seed, ThreadPool&) const {
  if (options.augment) throw UsageError("texts are not augmented", "data.augment");
  if (options.shard == Shard::kByLabel || options.shard == Shard::kDirichlet) {
    throw UsageError("a text has no labels", "data.shard", "shuffled, contiguous or strided");
  }
  const std::vector<int32_t> no_labels(static_cast<size_t>(train_windows_));
  auto shards = data::MakeShards(no_labels, ranks, ShardKindOf(options.shard), options.alpha, seed);
  const double bytes = static_cast<double>(train_windows_ * context_) / ranks;
  const Skew skew{ByteSkew(*this, shards), 0.5 * std::sqrt(kBytes / bytes)};
  return std::make_unique<TextBatches>(*this, std::move(shards), skew, options.batch, rank, seed);
}

std::unique_ptr<TextData> OpenTextData(const SyncDataOptions& o) {
  if (!o.path) throw UsageError("this kind of data needs a path", "data.path");
  std::string train = ReadText(*o.path), test;
  if (o.test) {
    test = ReadText(*o.test);
  } else {
    const auto held_out = std::llround(o.held_out * static_cast<double>(train.size()));
    const size_t kept = train.size() - static_cast<size_t>(held_out);
    test = train.substr(kept);
    train.resize(kept);
  }
  return std::make_unique<TextData>(std::move(train), std::move(test), o, o.path->string());
}

}  // namespace orchard::sync
