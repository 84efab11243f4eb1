// A text as training data: bytes are the tokens of a language model.
#pragma once

#include <memory>
#include <string>

#include "sync/training_data.h"

namespace orchard::sync {

// Windows of T = data.context bytes, one after the other: byte i of a window and those before it
// predict byte i + 1, the last one the first byte of the next window. What is left over at the end
// is not used. In evaluation, too, no window sees what was before it.
class TextData : public TrainingData {
 public:
  // Throws DataError for a part that is shorter than a window and a byte.
  //   where  names the text in errors
  TextData(std::string train, std::string test, const SyncDataOptions& options,
           const std::string& where);

  int64_t train_size() const override { return train_windows_; }
  int64_t test_size() const override { return test_windows_; }
  bool predicts_bytes() const override { return true; }
  std::string Digest() const override;
  std::unique_ptr<nn::Classifier> MakeNetwork(const SyncModelOptions& options,
                                              uint64_t seed) const override;
  nlohmann::json Config(const SyncModelOptions& options) const override;
  std::unique_ptr<RankBatches> Batches(const SyncDataOptions& options, int rank, int ranks,
                                       uint64_t seed, ThreadPool& pool) const override;

  const std::string& train() const { return train_; }
  const std::string& test() const { return test_; }
  int64_t context() const { return context_; }

 private:
  std::string train_, test_;
  int64_t context_;
  int64_t train_windows_, test_windows_;
};

// A file, or all files of a folder and the folders in it, in the order of their paths, hidden ones
// left out. Without data.test the last data.held_out of it is for testing. Throws DataError where
// there is nothing to read.
std::unique_ptr<TextData> OpenTextData(const SyncDataOptions& options);

}  // namespace orchard::sync
