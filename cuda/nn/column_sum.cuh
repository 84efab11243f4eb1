// The second stage of the sums over rows (gradients of weights and biases): out[c] = sum of
// partials[p][c] over p, in a fixed order. A block of 32 x 8 threads takes 32 columns; each thread
// adds every eighth row, then the eight are added in order.
#pragma once

#include <cstdint>

#include "base/half.h"
#include "cuda/base/launch.h"

namespace orchard::cuda {

template <class C, class Out>
__global__ void __launch_bounds__(256)
    ColumnSumKernel(const C* partials, int64_t count, int64_t columns, Out* out) {
  __shared__ C tile[8][33];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;
  C sum = 0;
  if (column < columns) {
    for (int64_t p = threadIdx.y; p < count; p += 8) sum += partials[p * columns + column];
  }
  tile[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  C total = 0;
#pragma unroll
  for (int y = 0; y < 8; ++y) total += tile[y][threadIdx.x];
  out[column] = Narrow<Out>(static_cast<ComputeOf<Out>>(total));
}

template <class C, class Out>
void LaunchColumnSum(const C* partials, int64_t count, int64_t columns, Out* out,
                     cudaStream_t stream) {
  const unsigned blocks = static_cast<unsigned>((columns + 31) / 32);
  ColumnSumKernel<C, Out><<<blocks, dim3(32, 8), 0, stream>>>(partials, count, columns, out);
}

}  // namespace orchard::cuda
