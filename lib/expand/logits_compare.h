// Compares the logits of two models row by row in one pass: largest difference, Kullback-Leibler
// divergence and top-1 agreement.
#pragma once

#include <cstdint>

#include "base/half.h"
#include "base/thread_pool.h"

namespace orchard::expand {

struct LogitsComparison {
  double max_difference;    // max |a - b|; NaN when a logit is NaN
  double max_logit;         // max |a|
  double kullback_leibler;  // KL(softmax a || softmax b), nats
  int32_t top_agrees;  // 1 when the largest logit of a and of b are at the same class, the first of
                       // equals
};

struct LogitsCompareArgs {
  const char* name = "logits";       // what errors call it
  FloatType type = FloatType::kF32;  // of a and b
  int64_t rows = 0, classes = 0;
  const void* a = nullptr;             // [rows, classes] of the source model
  const void* b = nullptr;             // [rows, classes] of the target model
  LogitsComparison* result = nullptr;  // [rows]
};

void LogitsCompare(const LogitsCompareArgs& args, ThreadPool& pool);

}  // namespace orchard::expand
