// |u - u'| / |u| for pairs of rows: a segmented reduction whose segments are the pairs.
//
// One block a pair: both rows are read once, 16 bytes a thread, and the two sums are accumulated in
// f64 and reduced by shuffles in a fixed order. Bytes per pair: 2 * columns * element size. Sizes
// presumed: thousands of pairs, 64 to 16384 columns.
#include <cuda_runtime.h>

#include "cuda/base/reduce.cuh"
#include "cuda/base/vector.cuh"
#include "cuda/expand/copy_divergence.h"
#include "expand/divergence_element.h"

namespace orchard::cuda {
namespace {

using expand::CopyDivergenceArgs;

constexpr int kThreads = 128;

template <class T, int N>
__global__ void __launch_bounds__(kThreads) DivergenceKernel(CopyDivergenceArgs a) {
  __shared__ double scratch[64];
  for (int64_t pair = blockIdx.x; pair < a.pairs; pair += gridDim.x) {
    const T* u = static_cast<const T*>(a.matrix) + a.first[pair] * a.columns;
    const T* v = static_cast<const T*>(a.matrix) + a.other[pair] * a.columns;
    double sums[2] = {0, 0};
    for (int64_t i = threadIdx.x; i < a.columns / N; i += kThreads) {
      double x[N], y[N];
      LoadVector<N>(u, i, x);
      LoadVector<N>(v, i, y);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        sums[0] += (x[k] - y[k]) * (x[k] - y[k]);
        sums[1] += x[k] * x[k];
      }
    }
    GroupSum(sums, scratch);
    if (threadIdx.x == 0) a.divergence[pair] = expand::DivergenceOf(sums[0], sums[1]);
  }
}

}  // namespace

void CopyDivergence(const CopyDivergenceArgs& a, cudaStream_t stream) {
  CheckArgument(a.pairs >= 0 && a.columns > 0, "CopyDivergence", a.name, "the matrix is empty");
  if (a.pairs == 0) return;
  CheckArgument(
      a.matrix != nullptr && a.first != nullptr && a.other != nullptr && a.divergence != nullptr,
      "CopyDivergence", a.name, "a pointer is null");
  const int grid = GridSize(a.pairs, 1);
  DispatchFloat(a.type, [&](auto t) {
    using T = decltype(t);
    if (CanVectorise(a.columns, sizeof(T), a.matrix)) {
      DivergenceKernel<T, kVector<T>><<<grid, kThreads, 0, stream>>>(a);
    } else {
      DivergenceKernel<T, 1><<<grid, kThreads, 0, stream>>>(a);
    }
  });
  CheckLaunch("CopyDivergence", a.name);
}

}  // namespace orchard::cuda
