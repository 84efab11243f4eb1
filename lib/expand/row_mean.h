// The mean over the rows of a matrix, which padding rows are made of. Rows are added in order in
// f64, so the CPU, the GPU and the streaming runner (expand/tensor_runner.h) agree bit by bit.
#pragma once

#include <cstdint>

#include "base/half.h"
#include "base/thread_pool.h"

namespace orchard::expand {

struct RowMeanArgs {
  const char* name = "matrix";  // what errors call it
  FloatType type = FloatType::kBF16;
  int64_t rows = 0, columns = 0;
  double scale = 1;                 // multiplies the mean
  const void* matrix = nullptr;     // [rows, columns]
  const double* weights = nullptr;  // [rows] factors, or null for ones
  double* mean = nullptr;           // [columns] = scale * sum of weights[r] * matrix[r] / rows
};

void RowMean(const RowMeanArgs& args, ThreadPool& pool);

}  // namespace orchard::expand
