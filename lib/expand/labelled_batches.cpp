#include "expand/labelled_batches.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "data/labelled_text.h"
#include "nn/loss.h"

namespace orchard::expand {
namespace {

constexpr int64_t kDefaultLength = 126;

// What one text became.
struct Sample {
  text::Encoding encoding;
  int64_t label = 0;
  double score = 0;
};

class LabelledBatches : public Batches {
 public:
  LabelledBatches(const TrainDataOptions& options, const text::Tokenizer& tokenizer)
      : options_(options), tokenizer_(tokenizer) {
    length_ = options.block > 0 ? options.block : kDefaultLength;
    pad_ = tokenizer.Id(text::SpecialToken::kPad).value_or(0);
    data::LabelledTexts train = Read(options.train);
    names_ = train.label_names;
    if (!options_.columns.regression && names_.size() < 2) {
      throw DataError("there is only one class", options.train);
    }
    std::vector<Sample> samples = Encode(train);
    if (!options.valid.empty()) {
      train_ = std::move(samples);
      valid_ = Encode(WithTrainingLabels(Read(options.valid)));
    } else {
      Divide(std::move(samples));
    }
  }

  DataShape shape() const override {
    DataShape shape;
    shape.vocabulary = tokenizer_.vocabulary_size();
    shape.block = length_;
    shape.regression = options_.columns.regression;
    shape.classes = shape.regression ? 1 : static_cast<int64_t>(names_.size());
    shape.label_names = names_;
    shape.pad_token = pad_;
    return shape;
  }
  int64_t train_size() const override { return std::ssize(train_); }
  int64_t valid_size() const override { return std::ssize(valid_); }

  Example Train(std::span<const data::Sample> samples) const override {
    std::vector<const Sample*> chosen;
    for (const data::Sample& s : samples) chosen.push_back(&train_[static_cast<size_t>(s.index)]);
    return Make(chosen, options_.label_smoothing);
  }

  Example Valid(int64_t first, int64_t count) const override {
    std::vector<const Sample*> chosen;
    for (int64_t i = first; i < first + count; ++i) {
      chosen.push_back(&valid_[static_cast<size_t>(i)]);
    }
    return Make(chosen, 0);
  }

 private:
  data::LabelledTexts Read(const std::string& path) const {
    const LabelColumns& c = options_.columns;
    return data::ReadLabelledTexts(
        path,
        {.text_a = c.text_a, .text_b = c.text_b, .label = c.label, .regression = c.regression});
  }

  // Each file numbers the classes that it has; those of training count.
  data::LabelledTexts WithTrainingLabels(data::LabelledTexts texts) const {
    if (options_.columns.regression) return texts;
    std::vector<int32_t> number;
    for (const std::string& name : texts.label_names) {
      const auto it = std::find(names_.begin(), names_.end(), name);
      if (it == names_.end()) {
        throw DataError("the label '" + name + "' is not in the training data", options_.valid);
      }
      number.push_back(static_cast<int32_t>(it - names_.begin()));
    }
    for (data::LabelledText& text : texts.examples) {
      text.label = number[static_cast<size_t>(text.label)];
    }
    return texts;
  }

  std::vector<Sample> Encode(const data::LabelledTexts& texts) const {
    const text::EncodeOptions how{.pad = false, .max_length = static_cast<size_t>(length_)};
    std::vector<Sample> samples;
    for (const data::LabelledText& t : texts.examples) {
      text::Encoding encoding = texts.pairs ? tokenizer_.EncodePair(t.text_a, t.text_b, how)
                                            : tokenizer_.Encode(t.text_a, how);
      if (encoding.ids.empty()) encoding.Append(pad_, 0, true);  // an empty text without [CLS]
      samples.push_back({std::move(encoding), t.label, t.score});
    }
    if (samples.empty()) throw DataError("there are no texts", options_.train);
    return samples;
  }

  void Divide(std::vector<Sample> samples) {
    const auto count = std::ssize(samples);
    const auto held = static_cast<int64_t>(options_.holdout * static_cast<double>(count));
    if (held == 0) {
      train_ = std::move(samples);
      return;
    }
    const data::Permutation order(count, static_cast<uint64_t>(options_.seed), Hash64("holdout"),
                                  0);
    for (int64_t i = 0; i < count; ++i) {
      (i < count - held ? train_ : valid_)
          .push_back(std::move(samples[static_cast<size_t>(order(i))]));
    }
  }

  Example Make(const std::vector<const Sample*>& samples, double smoothing) const {
    size_t longest = 0;
    for (const Sample* s : samples) longest = std::max(longest, s->encoding.size());
    const auto rows = std::ssize(samples);
    const auto columns = static_cast<int64_t>(longest);
    const auto whole = at::TensorOptions(at::kLong);
    const at::Tensor tokens = at::full({rows, columns}, pad_, whole);
    const at::Tensor mask = at::zeros({rows, columns}, whole);
    const at::Tensor types = at::zeros({rows, columns}, whole);
    std::vector<int64_t> labels;
    std::vector<double> scores;
    for (int64_t r = 0; r < rows; ++r) {
      const Sample& s = *samples[static_cast<size_t>(r)];
      for (size_t c = 0; c < s.encoding.size(); ++c) {
        const int64_t at = r * columns + static_cast<int64_t>(c);
        tokens.data_ptr<int64_t>()[at] = s.encoding.ids[c];
        types.data_ptr<int64_t>()[at] = s.encoding.type_ids[c];
        mask.data_ptr<int64_t>()[at] = 1;
      }
      labels.push_back(s.label);
      scores.push_back(s.score);
    }
    Example example;
    example.inputs = {tokens, mask, types, {}};
    if (options_.columns.regression) {
      example.targets = at::tensor(scores, at::kDouble).unsqueeze(1);
    } else {
      example.labels = at::tensor(labels, at::kLong);
      example.targets =
          nn::SmoothTargets(example.labels, std::ssize(names_), smoothing, at::kFloat);
    }
    example.predictions = rows;
    example.tokens = rows * columns;
    return example;
  }

  TrainDataOptions options_;
  const text::Tokenizer& tokenizer_;
  int64_t length_ = 0;
  int32_t pad_ = 0;
  std::vector<std::string> names_;
  std::vector<Sample> train_, valid_;
};

}  // namespace

std::unique_ptr<Batches> OpenLabelledBatches(const TrainDataOptions& options,
                                             const text::Tokenizer* tokenizer) {
  if (tokenizer == nullptr) throw UsageError("a text needs a tokenizer", "data.tokenizer");
  return std::make_unique<LabelledBatches>(options, *tokenizer);
}

}  // namespace orchard::expand
