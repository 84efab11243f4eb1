// Sums over rows in a fixed order, for the twins that reduce gradients of weights and biases.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

#include "base/half.h"
#include "base/simd.h"

namespace orchard::nn {

inline constexpr int64_t kSumColumns = 256;  // of one task

template <class Out, class C>
ORCHARD_SIMD void SumColumnBlock(const C* partials, int64_t count, int64_t stride, int64_t columns,
                                 Out* out) {
  C sum[kSumColumns] = {};
  for (int64_t p = 0; p < count; ++p) {
    const C* row = partials + p * stride;
    for (int64_t i = 0; i < columns; ++i) sum[i] += row[i];
  }
  for (int64_t i = 0; i < columns; ++i) out[i] = Narrow<Out>(static_cast<ComputeOf<Out>>(sum[i]));
}

// out[c] = partials[0][c] + partials[1][c] + ..., [count, columns].
template <class Out, class C>
void SumColumns(const C* partials, int64_t count, int64_t columns, Out* out) {
  const int64_t tasks = (columns + kSumColumns - 1) / kSumColumns;
  at::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * kSumColumns; i < std::min(columns, end * kSumColumns);
         i += kSumColumns) {
      SumColumnBlock<Out, C>(partials + i, count, columns, std::min(kSumColumns, columns - i),
                             out + i);
    }
  });
}

}  // namespace orchard::nn
