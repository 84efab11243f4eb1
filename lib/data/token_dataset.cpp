#include "data/token_dataset.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/error.h"

namespace orchard::data {
namespace {

class MemoryTokens : public TokenSource {
 public:
  MemoryTokens(std::vector<int32_t> tokens, int64_t row_length)
      : tokens_(std::move(tokens)), row_length_(row_length) {}
  int64_t size() const override { return static_cast<int64_t>(tokens_.size()); }
  int64_t row_length() const override { return row_length_; }
  void Read(int64_t begin, std::span<int32_t> out) const override {
    std::copy_n(tokens_.begin() + begin, out.size(), out.begin());
  }

 private:
  std::vector<int32_t> tokens_;
  int64_t row_length_;
};

}  // namespace

std::unique_ptr<TokenSource> TokensInMemory(std::vector<int32_t> tokens, int64_t row_length) {
  return std::make_unique<MemoryTokens>(std::move(tokens), row_length);
}

std::unique_ptr<TokenSource> TokensOfText(const std::filesystem::path& path,
                                          const text::Tokenizer& tokenizer,
                                          const text::CorpusOptions& options, ThreadPool& pool) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  if (file) contents << file.rdbuf();
  if (!file || std::filesystem::is_directory(path)) {
    throw DataError("cannot read the text", path.string());
  }
  std::vector<int32_t> ids = text::EncodeCorpus(tokenizer, contents.view(), options, pool);
  if (ids.empty()) throw DataError("the text gives no tokens", path.string());
  return TokensInMemory(std::move(ids));
}

TokenDataset::TokenDataset(std::shared_ptr<const TokenSource> source, int64_t block)
    : source_(std::move(source)), block_(block) {
  if (block < 1) throw UsageError("the block length must be at least 1", "data.block");
  const int64_t row = source_->row_length();
  if (row > 0 && row < block) {
    throw UsageError("the rows of the data hold " + std::to_string(row) + " tokens", "data.block",
                     "choose a block of at most that");
  }
  count_ = source_->size() / (row > 0 ? row : block);
}

TokenDataset TokenDataset::Slice(int64_t first, int64_t count) const {
  if (first < 0 || count < 0 || first > count_ - count) {
    throw UsageError("a slice lies outside the data set");
  }
  TokenDataset part = *this;
  part.first_ = first_ + first;
  part.count_ = count;
  return part;
}

int64_t TokenDataset::Begin(int64_t index) const {
  const int64_t row = source_->row_length();
  return (first_ + index) * (row > 0 ? row : block_);
}

TokenBatch TokenDataset::Causal(std::span<const Sample> samples) const {
  TokenBatch batch{static_cast<int64_t>(samples.size()), block_, {}, {}};
  std::vector<int32_t> tokens(static_cast<size_t>(block_) + 1);
  const int64_t row = source_->row_length();
  for (const Sample& sample : samples) {
    const int64_t begin = Begin(sample.index);
    const int64_t end = row > 0 ? begin + row : source_->size();
    const int64_t count = std::min(block_ + 1, end - begin);
    source_->Read(begin, std::span(tokens).first(static_cast<size_t>(count)));
    batch.inputs.insert(batch.inputs.end(), tokens.begin(), tokens.begin() + block_);
    batch.labels.insert(batch.labels.end(), tokens.begin() + 1, tokens.begin() + count);
    if (count == block_) batch.labels.push_back(kIgnoreLabel);
  }
  return batch;
}

TokenBatch TokenDataset::Masked(std::span<const Sample> samples, const Masker& masker,
                                std::optional<int32_t> begin, std::optional<int32_t> end) const {
  const int64_t columns = block_ + begin.has_value() + end.has_value();
  TokenBatch batch{static_cast<int64_t>(samples.size()), columns, {}, {}};
  batch.labels.resize(static_cast<size_t>(batch.rows * columns));
  std::vector<int32_t> tokens(static_cast<size_t>(block_));
  for (const Sample& sample : samples) {
    source_->Read(Begin(sample.index), tokens);
    const size_t at = batch.inputs.size();
    if (begin) batch.inputs.push_back(*begin);
    batch.inputs.insert(batch.inputs.end(), tokens.begin(), tokens.end());
    if (end) batch.inputs.push_back(*end);
    masker.Apply(sample.epoch, sample.index, std::span(batch.inputs).subspan(at),
                 std::span(batch.labels).subspan(at, static_cast<size_t>(columns)));
  }
  return batch;
}

}  // namespace orchard::data
