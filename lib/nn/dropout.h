// Dropout and drop-path on the CPU. The arguments are also those of the CUDA launcher
// (cuda/nn/dropout.h).
#pragma once

#include <cstdint>

#include "base/half.h"
#include "base/philox.h"

namespace orchard::nn {

// y[i] = (residual[i] +) (kept(i / group) ? x[i] / (1 - probability) : 0). Its own gradient: the
// same call with dy for x.
struct DropoutArgs {
  const char* name = "dropout";      // what errors call it
  FloatType type = FloatType::kF32;  // of every buffer
  int64_t count = 0;                 // elements
  int64_t group =
      1;  // elements that share one draw: 1 for dropout, those of a sample for drop-path
  double probability = 0;  // of being dropped, [0, 1)
  Philox2 key = {};
  uint64_t stream = 0;
  const void* x = nullptr;         // [count]
  const void* residual = nullptr;  // [count] or null
  void* y = nullptr;               // [count]; may be x
};

// Uses the threads of LibTorch's pool; the result does not depend on their number.
void Dropout(const DropoutArgs& args);

}  // namespace orchard::nn
