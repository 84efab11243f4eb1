// mean[c] = scale * sum over r of weights[r] * matrix[r, c] / rows, rows added in order in f64.
//
// The order is part of the result: stored means must have the same bits on every machine, so a
// column is one thread's and its rows are not shared out. A warp reads 32 neighbouring columns of a
// row; 16 rows are loaded before the first is added, which keeps 16 x 64 bytes in flight per warp
// (bf16). Blocks are single warps, so that a matrix of 4096 columns still reaches 128
// multiprocessors. Bytes per element: one read. It runs once per matrix and is short beside the
// expansion.
#include <cuda_runtime.h>

#include "cuda/expand/row_mean.h"

namespace orchard::cuda {
namespace {

using expand::RowMeanArgs;

constexpr int kRows = 16;  // loaded ahead

template <class T>
__global__ void __launch_bounds__(32) RowMeanKernel(RowMeanArgs a) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;
  if (column >= a.columns) return;
  const T* matrix = static_cast<const T*>(a.matrix) + column;
  double sum = 0;
  int64_t r = 0;
  for (; r + kRows <= a.rows; r += kRows) {
    T value[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k) value[k] = matrix[(r + k) * a.columns];
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      const double weight = a.weights == nullptr ? 1.0 : a.weights[r + k];
      sum += weight * static_cast<double>(Widen(value[k]));
    }
  }
  for (; r < a.rows; ++r) {
    const double weight = a.weights == nullptr ? 1.0 : a.weights[r];
    sum += weight * static_cast<double>(Widen(matrix[r * a.columns]));
  }
  a.mean[column] = a.scale * sum / static_cast<double>(a.rows);
}

}  // namespace

void RowMean(const RowMeanArgs& a, cudaStream_t stream) {
  CheckArgument(a.rows > 0 && a.columns > 0, "RowMean", a.name, "the matrix is empty");
  CheckArgument(a.matrix != nullptr && a.mean != nullptr, "RowMean", a.name, "a pointer is null");
  const unsigned blocks = static_cast<unsigned>((a.columns + 31) / 32);
  DispatchFloat(a.type, [&](auto t) { RowMeanKernel<decltype(t)><<<blocks, 32, 0, stream>>>(a); });
  CheckLaunch("RowMean", a.name);
}

}  // namespace orchard::cuda
