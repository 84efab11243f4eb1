// Training and validation data of any kind, as batches of tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "data/sampler.h"
#include "expand/train_options.h"
#include "io/text/tokenizer.h"
#include "nn/model_head.h"
#include "nn/sequence.h"

namespace orchard::expand {

// Inputs, and what is to be predicted from them.
struct Example {
  nn::Batch inputs;
  // Tokens: [N, T] int64, -100 = not predicted; images and labelled texts: [N, classes];
  // regression: [N, 1].
  at::Tensor targets;
  at::Tensor labels;        // images and labelled texts: [N] int64; not of a regression
  int64_t predictions = 0;  // tokens to predict, images or texts: what the loss is a mean over
  int64_t tokens = 0;       // that go through the model; images count one each
};

// The loss, summed (not averaged) over the predictions, so that sums over ranks and micro-batches
// can be divided once: [] in f32 or f64.
at::Tensor SummedLoss(const nn::ModelOutput& output, const Example& example);

// What a new model must be made for.
struct DataShape {
  bool per_sample() const { return classes > 0; }  // one prediction for a whole sample

  int64_t vocabulary = 0;                       // 0 for images
  int64_t block = 0;                            // longest sequence
  int64_t classes = 0;                          // of images or labelled texts
  int64_t channels = 0, height = 0, width = 0;  // images
  bool regression = false;                      // labelled texts: classes is 1 then
  std::vector<std::string> label_names;         // labelled texts, by class
  int32_t pad_token = 0;                        // labelled texts
};

class Batches {
 public:
  virtual ~Batches() = default;
  virtual DataShape shape() const = 0;
  virtual int64_t train_size() const = 0;  // samples
  virtual int64_t valid_size() const = 0;  // 0: there are none
  // On the CPU. The same for any number of threads.
  virtual Example Train(std::span<const data::Sample> samples) const = 0;
  // Validation samples [first, first + count); masks are the same every time.
  virtual Example Valid(int64_t first, int64_t count) const = 0;
};

// Opens what `options` name. `tokenizer` may be null for images and for token files of causal
// models; `seed` is that of masks and augmentation. `pool` must outlive the result. Throws
// DataError, UsageError.
std::unique_ptr<Batches> OpenBatches(const TrainDataOptions& options,
                                     const text::Tokenizer* tokenizer, uint64_t seed,
                                     ThreadPool& pool);

}  // namespace orchard::expand
