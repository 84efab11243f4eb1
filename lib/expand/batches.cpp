#include "expand/batches.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "base/error.h"
#include "data/augment.h"
#include "data/masking.h"
#include "data/open_dataset.h"
#include "data/synthetic_shapes.h"
#include "data/synthetic_text.h"
#include "data/token_dataset.h"
#include "expand/labelled_batches.h"
#include "io/text/corpus.h"
#include "nn/loss.h"

namespace orchard::expand {
namespace {

constexpr char kGrammar[] = "grammar";
constexpr char kShapes[] = "shapes";

template <class T>
at::Tensor ToTensor(const std::vector<T>& values, at::IntArrayRef shape, at::ScalarType type) {
  return at::from_blob(const_cast<T*>(values.data()), shape, at::TensorOptions(type)).clone();
}

// Samples [first, first + count) of a data set that is used in order.
std::vector<data::Sample> InOrder(int64_t first, int64_t count) {
  std::vector<data::Sample> samples;
  for (int64_t i = first; i < first + count; ++i) samples.push_back({i, 0, i});
  return samples;
}

// The first part of the data, and the rest for validation.
int64_t TrainingPart(int64_t count, const TrainDataOptions& options) {
  const auto held = static_cast<int64_t>(options.holdout * static_cast<double>(count));
  return count - held;
}

class TextBatches : public Batches {
 public:
  TextBatches(const TrainDataOptions& options, const text::Tokenizer* tokenizer, uint64_t seed,
              ThreadPool& pool)
      : options_(options), tokenizer_(tokenizer), seed_(seed) {
    block_ = options.block > 0 ? options.block : options.kind == DataKind::kMlm ? 126 : 1024;
    data::TokenDataset all(Open(options.train, pool), block_);
    if (!options.valid.empty() && options.valid != options.train) {
      valid_.emplace(Open(options.valid, pool), block_);
      train_.emplace(std::move(all));
    } else {
      const int64_t first = TrainingPart(all.size(), options);
      if (first < all.size()) valid_.emplace(all.Slice(first, all.size() - first));
      train_.emplace(all.Slice(0, first));
    }
    if (options.kind == DataKind::kMlm) MakeMasker();
  }

  DataShape shape() const override {
    return {.vocabulary = tokenizer_ == nullptr ? 0 : tokenizer_->vocabulary_size(),
            .block = block_ + (begin_ ? 1 : 0) + (end_ ? 1 : 0)};
  }
  int64_t train_size() const override { return train_->size(); }
  int64_t valid_size() const override { return valid_ ? valid_->size() : 0; }
  Example Train(std::span<const data::Sample> samples) const override {
    return Make(*train_, samples, masker_);
  }
  Example Valid(int64_t first, int64_t count) const override {
    return Make(*valid_, InOrder(first, count), valid_masker_);
  }

 private:
  std::shared_ptr<const data::TokenSource> Open(const std::string& name, ThreadPool& pool) const {
    text::CorpusOptions corpus;
    // Bytes are taken as they are; other tokenizers see one line at a time.
    const bool bytes = tokenizer_ != nullptr && tokenizer_->vocabulary_size() == kByteVocabulary;
    corpus.split = bytes ? text::DocumentSplit::kWhole : text::DocumentSplit::kLine;
    if (!bytes && tokenizer_ != nullptr) corpus.end_token = End();
    if (name != kGrammar) return data::OpenTokens(name, tokenizer_, corpus, pool);
    if (tokenizer_ == nullptr) throw UsageError("a text needs a tokenizer", "data.tokenizer");
    const std::string text = data::SyntheticText({.characters = options_.characters},
                                                 static_cast<uint64_t>(options_.seed));
    return data::TokensInMemory(text::EncodeCorpus(*tokenizer_, text, corpus, pool));
  }

  std::optional<int32_t> End() const {
    if (const auto id = tokenizer_->Id(text::SpecialToken::kEnd)) return id;
    return tokenizer_->Id(text::SpecialToken::kSeparator);
  }

  void MakeMasker() {
    const auto mask =
        tokenizer_ == nullptr ? std::nullopt : tokenizer_->Id(text::SpecialToken::kMask);
    if (!mask) {
      throw UsageError("masked language modelling needs a tokenizer with a mask token",
                       "data.tokenizer");
    }
    data::MaskOptions masks{.probability = options_.mlm_prob,
                            .mask_id = *mask,
                            .vocabulary_size = tokenizer_->vocabulary_size()};
    for (int32_t id = 0; id < masks.vocabulary_size; ++id) {
      if (tokenizer_->IsSpecial(id)) masks.special_ids.push_back(id);
    }
    masker_.emplace(masks, seed_);
    valid_masker_.emplace(masks, 0);
    begin_ = tokenizer_->Id(text::SpecialToken::kClass);
    end_ = tokenizer_->Id(text::SpecialToken::kSeparator);
  }

  Example Make(const data::TokenDataset& dataset, std::span<const data::Sample> samples,
               const std::optional<data::Masker>& masker) const {
    const data::TokenBatch batch =
        masker ? dataset.Masked(samples, *masker, begin_, end_) : dataset.Causal(samples);
    Example example;
    const std::vector<int64_t> shape = {batch.rows, batch.columns};
    example.inputs.tokens = ToTensor(batch.inputs, shape, at::kLong);
    example.targets = ToTensor(batch.labels, shape, at::kLong);
    example.tokens = batch.rows * batch.columns;
    example.predictions =
        example.tokens - std::count(batch.labels.begin(), batch.labels.end(), data::kIgnoreLabel);
    return example;
  }

  static constexpr int32_t kByteVocabulary = 259;
  TrainDataOptions options_;
  const text::Tokenizer* tokenizer_;
  uint64_t seed_;
  int64_t block_ = 0;
  std::optional<data::TokenDataset> train_, valid_;
  std::optional<data::Masker> masker_, valid_masker_;
  std::optional<int32_t> begin_, end_;
};

class ImageBatches : public Batches {
 public:
  ImageBatches(const TrainDataOptions& options, uint64_t seed, ThreadPool& pool)
      : train_(Open(options, options.train, 0)), pool_(pool) {
    if (!options.valid.empty() || options.train == kShapes) {
      valid_.emplace(Open(options, options.valid.empty() ? kShapes : options.valid, 1));
    }
    const data::ChannelStatistics statistics = data::MeasureChannels(train_);
    const data::AugmentOptions plain{.mean = statistics.mean, .deviation = statistics.deviation};
    data::AugmentOptions augment = plain;
    augment.crop_padding = options.crop_padding;
    augment.flip = options.flip;
    augment.erase = options.erase;
    augment.mixup = options.mixup;
    augment.cutmix = options.cutmix;
    augment.label_smoothing = options.label_smoothing;
    train_augmenter_.emplace(train_, augment, seed);
    if (valid_) valid_augmenter_.emplace(*valid_, plain, seed);
  }

  DataShape shape() const override {
    return {.classes = train_.classes(),
            .channels = train_.channels(),
            .height = train_.height(),
            .width = train_.width()};
  }
  int64_t train_size() const override { return train_.size(); }
  int64_t valid_size() const override { return valid_ ? valid_->size() : 0; }
  Example Train(std::span<const data::Sample> samples) const override {
    return Make(train_augmenter_->Train(samples, pool_));
  }
  Example Valid(int64_t first, int64_t count) const override {
    std::vector<int64_t> indices(static_cast<size_t>(count));
    std::iota(indices.begin(), indices.end(), first);
    return Make(valid_augmenter_->Evaluate(indices));
  }

 private:
  // `part` 1 of the shapes are other images than part 0, a tenth as many.
  static data::ImageDataset Open(const TrainDataOptions& options, const std::string& name,
                                 int part) {
    if (name != kShapes) return data::OpenImages(name, {.size = options.size});
    data::ShapeOptions shapes;
    if (options.size > 0) shapes.size = options.size;
    shapes.count = part == 0 ? options.images : std::max<int64_t>(10, options.images / 10);
    shapes.first = part == 0 ? 0 : static_cast<uint64_t>(options.images);
    return data::SyntheticShapes(shapes, static_cast<uint64_t>(options.seed));
  }

  static Example Make(const data::ImageBatch& batch) {
    Example example;
    example.inputs.images =
        ToTensor(batch.pixels, {batch.rows, batch.channels, batch.height, batch.width}, at::kFloat);
    example.targets = ToTensor(batch.targets, {batch.rows, batch.classes}, at::kFloat);
    example.labels = ToTensor(batch.labels, {batch.rows}, at::kLong);
    example.predictions = example.tokens = batch.rows;
    return example;
  }

  data::ImageDataset train_;
  std::optional<data::ImageDataset> valid_;
  std::optional<data::Augmenter> train_augmenter_, valid_augmenter_;
  ThreadPool& pool_;
};

}  // namespace

at::Tensor SummedLoss(const nn::ModelOutput& output, const Example& example) {
  const bool tokens = example.targets.scalar_type() == at::kLong;
  const at::Tensor& logits = tokens ? output.token_logits : output.class_logits;
  if (!logits.defined()) {
    throw UsageError(tokens ? "the model has no head for tokens" : "the model has no classifier",
                     "data.kind");
  }
  if (tokens && example.predictions == 0) return logits.sum() * 0;
  if (!tokens && !example.labels.defined()) {
    const auto wide = logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    return (logits.to(wide) - example.targets.to(wide)).square().sum();
  }
  const at::Tensor mean =
      tokens ? nn::TokenLoss(logits, example.targets) : nn::SoftTargetLoss(logits, example.targets);
  return mean * static_cast<double>(example.predictions);
}

std::unique_ptr<Batches> OpenBatches(const TrainDataOptions& options,
                                     const text::Tokenizer* tokenizer, uint64_t seed,
                                     ThreadPool& pool) {
  if (options.train.empty()) throw UsageError("no training data", "data.train");
  if (options.kind == DataKind::kImage) {
    return std::make_unique<ImageBatches>(options, seed, pool);
  }
  if (options.kind == DataKind::kLabels) return OpenLabelledBatches(options, tokenizer);
  return std::make_unique<TextBatches>(options, tokenizer, seed, pool);
}

}  // namespace orchard::expand
