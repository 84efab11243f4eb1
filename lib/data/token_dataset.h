// Token streams cut into blocks, and the batches that language models train on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "data/masking.h"
#include "data/sampler.h"
#include "io/text/corpus.h"

namespace orchard::data {

// Where tokens come from: memory, or a file that is read in parts.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  virtual int64_t size() const = 0;
  // Length of one row where the source is a table [N, L] of separate texts; 0 where it is one
  // stream.
  virtual int64_t row_length() const { return 0; }
  // Fills `out` with the tokens from `begin` on; the range lies inside the source. Thread-safe.
  virtual void Read(int64_t begin, std::span<int32_t> out) const = 0;
};

std::unique_ptr<TokenSource> TokensInMemory(std::vector<int32_t> tokens, int64_t row_length = 0);

// Reads and encodes a text file. Throws DataError when it cannot be read or gives no token.
std::unique_ptr<TokenSource> TokensOfText(const std::filesystem::path& path,
                                          const text::Tokenizer& tokenizer,
                                          const text::CorpusOptions& options, ThreadPool& pool);

// Inputs and labels of shape [rows, columns], row-major. Labels are kIgnoreLabel where no loss is
// taken.
struct TokenBatch {
  int64_t rows = 0, columns = 0;
  std::vector<int64_t> inputs, labels;
};

// Blocks of equal length: consecutive stretches of a stream, or the rows of a table (cut or refused
// by length).
class TokenDataset {
 public:
  // Throws UsageError unless block >= 1 and a table's rows hold at least `block` tokens.
  TokenDataset(std::shared_ptr<const TokenSource> source, int64_t block);

  int64_t size() const { return count_; }  // blocks
  int64_t block() const { return block_; }

  // The blocks [first, first + count) as a data set of their own: training and validation parts of
  // one source.
  TokenDataset Slice(int64_t first, int64_t count) const;

  // Causal language modelling: labels are the inputs one place later. In a stream the last label of
  // a block is the first token of the next block, so that every token but the first is predicted;
  // at the end of a stream or row it is ignored.
  TokenBatch Causal(std::span<const Sample> samples) const;

  // Masked language modelling. Each block gets `begin` before and `end` after it, where given:
  // columns = block + 0, 1 or 2.
  TokenBatch Masked(std::span<const Sample> samples, const Masker& masker,
                    std::optional<int32_t> begin = {}, std::optional<int32_t> end = {}) const;

 private:
  int64_t Begin(int64_t index) const;  // of a block, in tokens of the source

  std::shared_ptr<const TokenSource> source_;
  int64_t block_;
  int64_t first_ = 0;
  int64_t count_ = 0;
};

}  // namespace orchard::data
