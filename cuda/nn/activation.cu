// activation(x + bias) and activation(gate) * up, forward and backward. All are bound by memory:
// 16-byte accesses, the activation (10 to 40 operations) hides behind them.
//
// Forward kernels are grid-stride loops over vectors. Bytes per element: bias + activation reads x,
// writes y; gated reads gate and up, writes y; gated backward reads dy, gate, up and writes dgate,
// dup (so activation(gate) is never stored).
//
// Bias + activation backward writes dx and sums it over the rows in the same pass: a block of 32 x
// 8 threads takes 32 vectors of columns and kBiasRows rows; each thread adds its rows in registers,
// the eight of a column are added through shared memory, and the block's sum goes to the workspace.
// A second kernel adds the blocks in order: no atomics. Bytes per element: read dy and x, write dx.
#include <cuda_runtime.h>

#include "cuda/base/vector.cuh"
#include "cuda/nn/activation.h"
#include "cuda/nn/column_sum.cuh"
#include "nn/activation_element.h"

namespace orchard::cuda {
namespace {

using nn::Activation;
using nn::BiasActivationBackwardArgs;
using nn::BiasActivationForwardArgs;
using nn::GatedBackwardArgs;
using nn::GatedForwardArgs;

constexpr int kThreads = 256;

template <class T, int N, class Element>
__global__ void __launch_bounds__(kThreads) BiasForwardKernel(BiasActivationForwardArgs a) {
  using C = ComputeOf<T>;
  const int64_t per_row = a.columns / N, vectors = a.rows * per_row;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t v = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; v < vectors;
       v += stride) {
    C x[N], bias[N] = {};
    LoadVector<N>(static_cast<const T*>(a.x), v, x);
    if (a.bias != nullptr) LoadVector<N>(static_cast<const T*>(a.bias), v % per_row, bias);
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] = Element::Value(x[i] + bias[i]);
    StoreVector<N>(static_cast<T*>(a.y), v, x);
  }
}

template <class T, int N, class Element>
__global__ void __launch_bounds__(kThreads) BiasBackwardKernel(BiasActivationBackwardArgs a) {
  using C = ComputeOf<T>;
  __shared__ C tile[8][32 * N + 1];
  const int64_t per_row = a.columns / N;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;  // in vectors
  C bias[N] = {}, sum[N] = {};
  if (column < per_row) {
    if (a.bias != nullptr) LoadVector<N>(static_cast<const T*>(a.bias), column, bias);
    const int64_t first = static_cast<int64_t>(blockIdx.y) * nn::kBiasRows;
    const int64_t last = first + nn::kBiasRows < a.rows ? first + nn::kBiasRows : a.rows;
#pragma unroll 2
    for (int64_t row = first + threadIdx.y; row < last; row += 8) {
      C x[N], d[N];
      LoadVector<N>(static_cast<const T*>(a.x), row * per_row + column, x);
      LoadVector<N>(static_cast<const T*>(a.dy), row * per_row + column, d);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        d[i] *= Element::Both(x[i] + bias[i]).slope;
        sum[i] += d[i];
      }
      StoreVector<N>(static_cast<T*>(a.dx), row * per_row + column, d);
    }
  }
  if (a.dbias == nullptr) return;
#pragma unroll
  for (int i = 0; i < N; ++i) tile[threadIdx.y][i * 32 + threadIdx.x] = sum[i];
  __syncthreads();
  if (threadIdx.y != 0 || column >= per_row) return;
  C* partial = static_cast<C*>(a.workspace) + static_cast<int64_t>(blockIdx.y) * a.columns;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    C total = 0;
#pragma unroll
    for (int y = 0; y < 8; ++y) total += tile[y][i * 32 + threadIdx.x];
    partial[column * N + i] = total;
  }
}

template <class T, int N, class Element>
__global__ void __launch_bounds__(kThreads) GatedForwardKernel(GatedForwardArgs a) {
  using C = ComputeOf<T>;
  const int64_t vectors = a.count / N, stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t v = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; v < vectors;
       v += stride) {
    C gate[N], up[N];
    LoadVector<N>(static_cast<const T*>(a.gate), v, gate);
    LoadVector<N>(static_cast<const T*>(a.up), v, up);
#pragma unroll
    for (int i = 0; i < N; ++i) up[i] *= Element::Value(gate[i]);
    StoreVector<N>(static_cast<T*>(a.y), v, up);
  }
}

template <class T, int N, class Element>
__global__ void __launch_bounds__(kThreads) GatedBackwardKernel(GatedBackwardArgs a) {
  using C = ComputeOf<T>;
  const int64_t vectors = a.count / N, stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t v = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; v < vectors;
       v += stride) {
    C d[N], gate[N], up[N];
    LoadVector<N>(static_cast<const T*>(a.dy), v, d);
    LoadVector<N>(static_cast<const T*>(a.gate), v, gate);
    LoadVector<N>(static_cast<const T*>(a.up), v, up);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const nn::ValueSlope<C> f = Element::Both(gate[i]);
      gate[i] = d[i] * up[i] * f.slope;
      up[i] = d[i] * f.value;
    }
    StoreVector<N>(static_cast<T*>(a.dgate), v, gate);
    StoreVector<N>(static_cast<T*>(a.dup), v, up);
  }
}

template <class T, int N, class Element>
void LaunchBiasBackward(const BiasActivationBackwardArgs& a, cudaStream_t stream) {
  using C = ComputeOf<T>;
  const int64_t blocks = (a.rows + nn::kBiasRows - 1) / nn::kBiasRows;
  const dim3 grid(static_cast<unsigned>((a.columns / N + 31) / 32), static_cast<unsigned>(blocks));
  BiasBackwardKernel<T, N, Element><<<grid, dim3(32, 8), 0, stream>>>(a);
  if (a.dbias == nullptr) return;
  LaunchColumnSum(static_cast<const C*>(a.workspace), blocks, a.columns, static_cast<T*>(a.dbias),
                  stream);
}

// Calls run(T{}, Element{}).
template <class Function>
void Dispatch(FloatType type, Activation activation, Function&& run) {
  DispatchFloat(type, [&](auto t) {
    nn::DispatchActivation(activation, [&](auto element) { run(t, element); });
  });
}

// Vectors (or single elements) of `count` elements, for the grid.
int Grid(int64_t count, int elements) { return GridSize(count / elements, kThreads); }

}  // namespace

void BiasActivationForward(const BiasActivationForwardArgs& a, cudaStream_t stream) {
  CheckArgument(a.rows >= 0 && a.columns > 0, "BiasActivationForward", a.name,
                "rows or columns out of range");
  if (a.rows == 0) return;
  CheckArgument(a.x != nullptr && a.y != nullptr, "BiasActivationForward", a.name,
                "x or y is null");
  const int64_t count = a.rows * a.columns;
  Dispatch(a.type, a.activation, [&](auto t, auto e) {
    using T = decltype(t);
    using E = decltype(e);
    constexpr int kN = kVector<T>;
    if (CanVectorise(a.columns, sizeof(T), a.x, a.bias, a.y)) {
      BiasForwardKernel<T, kN, E><<<Grid(count, kN), kThreads, 0, stream>>>(a);
    } else {
      BiasForwardKernel<T, 1, E><<<Grid(count, 1), kThreads, 0, stream>>>(a);
    }
  });
  CheckLaunch("BiasActivationForward", a.name);
}

void BiasActivationBackward(const BiasActivationBackwardArgs& a, cudaStream_t stream) {
  const char* kernel = "BiasActivationBackward";
  CheckArgument(a.rows > 0 && a.columns > 0, kernel, a.name, "rows or columns out of range");
  CheckArgument(a.rows <= 65535 * nn::kBiasRows, kernel, a.name, "more than 4 Mi rows");
  CheckArgument(a.dy != nullptr && a.x != nullptr && a.dx != nullptr, kernel, a.name,
                "dy, x or dx is null");
  CheckArgument(a.dbias == nullptr || a.workspace != nullptr, kernel, a.name,
                "the workspace is null");
  Dispatch(a.type, a.activation, [&](auto t, auto e) {
    using T = decltype(t);
    using E = decltype(e);
    if (CanVectorise(a.columns, sizeof(T), a.dy, a.x, a.bias, a.dx)) {
      LaunchBiasBackward<T, kVector<T>, E>(a, stream);
    } else {
      LaunchBiasBackward<T, 1, E>(a, stream);
    }
  });
  CheckLaunch(kernel, a.name);
}

void GatedForward(const GatedForwardArgs& a, cudaStream_t stream) {
  if (a.count == 0) return;
  CheckArgument(a.gate != nullptr && a.up != nullptr && a.y != nullptr, "GatedForward", a.name,
                "gate, up or y is null");
  Dispatch(a.type, a.activation, [&](auto t, auto e) {
    using T = decltype(t);
    using E = decltype(e);
    constexpr int kN = kVector<T>;
    if (CanVectorise(a.count, sizeof(T), a.gate, a.up, a.y)) {
      GatedForwardKernel<T, kN, E><<<Grid(a.count, kN), kThreads, 0, stream>>>(a);
    } else {
      GatedForwardKernel<T, 1, E><<<Grid(a.count, 1), kThreads, 0, stream>>>(a);
    }
  });
  CheckLaunch("GatedForward", a.name);
}

void GatedBackward(const GatedBackwardArgs& a, cudaStream_t stream) {
  if (a.count == 0) return;
  CheckArgument(a.dy != nullptr && a.gate != nullptr && a.up != nullptr && a.dgate != nullptr &&
                    a.dup != nullptr,
                "GatedBackward", a.name, "a pointer is null");
  Dispatch(a.type, a.activation, [&](auto t, auto e) {
    using T = decltype(t);
    using E = decltype(e);
    constexpr int kN = kVector<T>;
    if (CanVectorise(a.count, sizeof(T), a.dy, a.gate, a.up, a.dgate, a.dup)) {
      GatedBackwardKernel<T, kN, E><<<Grid(a.count, kN), kThreads, 0, stream>>>(a);
    } else {
      GatedBackwardKernel<T, 1, E><<<Grid(a.count, 1), kThreads, 0, stream>>>(a);
    }
  });
  CheckLaunch("GatedBackward", a.name);
}

}  // namespace orchard::cuda
