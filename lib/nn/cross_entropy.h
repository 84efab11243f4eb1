// Fused softmax cross-entropy on the CPU. The arguments are also those of the CUDA launchers
// (cuda/nn/cross_entropy.h).
#pragma once

#include <cstdint>

#include "base/half.h"

namespace orchard::nn {

struct CrossEntropyForwardArgs {
  const char* name = "logits";       // what errors call it
  FloatType type = FloatType::kF32;  // of the logits
  int64_t rows = 0;
  int64_t classes = 0;
  int64_t ignore_index = -100;
  double smoothing = 0;
  const void* logits = nullptr;      // [rows, classes]
  const int64_t* targets = nullptr;  // [rows]
  void* loss = nullptr;              // [rows], f32 or (for f64) f64; 0 where ignored
  void* log_sum = nullptr;           // [rows], as loss
};

// dlogits may be the buffer of the logits.
struct CrossEntropyBackwardArgs {
  const char* name = "logits";
  FloatType type = FloatType::kF32;  // of logits and dlogits
  int64_t rows = 0;
  int64_t classes = 0;
  int64_t ignore_index = -100;
  double smoothing = 0;
  const void* logits = nullptr;
  const int64_t* targets = nullptr;
  const void* log_sum = nullptr;  // of the forward pass
  const void* dloss = nullptr;    // [rows], f32 or (for f64) f64
  void* dlogits = nullptr;        // [rows, classes]
};

// Both use the threads of LibTorch's pool. Throw DataError, naming the row, for a target out of
// range.
void CrossEntropyForward(const CrossEntropyForwardArgs& args);
void CrossEntropyBackward(const CrossEntropyBackwardArgs& args);

}  // namespace orchard::nn
