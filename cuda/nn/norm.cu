// LayerNorm and RMSNorm over the rows of a matrix [rows, columns].
//
// Forward. A group of threads (one warp, or a block of up to 512) owns a row and keeps it in
// registers: the row is read once, its mean and then its centred sum of squares are reduced by
// shuffles (two passes in registers: no cancellation, no Welford divisions), and the result is
// written. Bytes per element: read x, write y; weights stay in L2.
//
// Backward. kNormPartials groups share the rows in a fixed stride. Each keeps x and dy of its row
// in registers, reduces sum(g) and sum(g n) together, writes dx, and adds to its own d weight and d
// bias, which stay in registers over all its rows because a thread always meets the same columns. A
// second kernel adds the partial sums in order: no atomics. Bytes per element: read x and dy, write
// dx, plus 2 * partials * columns * 4 for the partial sums (small beside x when rows >> 512).
//
// Sizes presumed: columns up to 512 threads * 4 vectors * 16 bytes forward (16384 bf16) and half of
// it backward; longer rows are re-read from L2 and their partial sums kept in memory. Rows that
// 16-byte access does not fit go element by element.
#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/base/reduce.cuh"
#include "cuda/base/vector.cuh"
#include "cuda/nn/column_sum.cuh"
#include "cuda/nn/norm.h"
#include "nn/norm_element.h"

namespace orchard::cuda {
namespace {

using nn::NormBackwardArgs;
using nn::NormForwardArgs;
using nn::NormKind;

constexpr int kMostThreads = 512;
constexpr int kForwardVectors = 4;  // vectors a thread keeps
constexpr int kBackwardVectors = 2;

// Calls f(vector index, slot) for the vectors of a thread. Slots are compile-time constants when
// kSlots > 0, so arrays indexed by them stay in registers; with kSlots = 0 the row is longer than
// the registers and the slot is always 0.
template <int kSlots, class F>
__device__ __forceinline__ void ForEachVector(int64_t vectors, F f) {
  if constexpr (kSlots > 0) {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      const int64_t v = threadIdx.x + static_cast<int64_t>(slot) * blockDim.x;
      if (v < vectors) f(v, slot);
    }
  } else {
    for (int64_t v = threadIdx.x; v < vectors; v += blockDim.x) f(v, 0);
  }
}

template <class T, class W, int N, int kSlots, bool kCentred>
__global__ void __launch_bounds__(kMostThreads) ForwardKernel(NormForwardArgs a) {
  using C = ComputeOf<T>;
  __shared__ C scratch[32];
  constexpr int kKept = kSlots > 0 ? kSlots : 1;
  const int64_t vectors = a.columns / N;
  const C count = static_cast<C>(a.columns), offset = static_cast<C>(a.weight_offset);
  const int64_t groups = static_cast<int64_t>(gridDim.x) * blockDim.y;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  // Whole blocks leave together where blockDim.x > 32, because then blockDim.y is 1.
  for (int64_t row = first; row < a.rows; row += groups) {
    const T* x = static_cast<const T*>(a.x) + row * a.columns;
    T* y = static_cast<T*>(a.y) + row * a.columns;
    C kept[kKept][N];
    C mean = 0;
    C sum[1] = {0};
    ForEachVector<kSlots>(vectors, [&](int64_t v, int slot) {
      LoadVector<N>(x, v, kept[slot]);
      if constexpr (kCentred) {
#pragma unroll
        for (int i = 0; i < N; ++i) sum[0] += kept[slot][i];
      }
    });
    if constexpr (kCentred) {
      GroupSum(sum, scratch);
      mean = sum[0] / count;
    }
    C squares[1] = {0};
    ForEachVector<kSlots>(vectors, [&](int64_t v, int slot) {
      if constexpr (kSlots == 0) LoadVector<N>(x, v, kept[slot]);
#pragma unroll
      for (int i = 0; i < N; ++i) squares[0] += (kept[slot][i] - mean) * (kept[slot][i] - mean);
    });
    GroupSum(squares, scratch);
    const C rstd = C(1) / sqrt(squares[0] / count + static_cast<C>(a.epsilon));
    ForEachVector<kSlots>(vectors, [&](int64_t v, int slot) {
      if constexpr (kSlots == 0) LoadVector<N>(x, v, kept[slot]);
      C weight[N], bias[N], out[N];
      LoadVector<N>(static_cast<const W*>(a.weight), v, weight);
      if (a.bias != nullptr) LoadVector<N>(static_cast<const W*>(a.bias), v, bias);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        out[i] = nn::Normalised<C>(kept[slot][i], mean, rstd) * (weight[i] + offset);
        if (a.bias != nullptr) out[i] += bias[i];
      }
      StoreVector<N>(y, v, out);
    });
    if (threadIdx.x == 0) {
      if constexpr (kCentred) static_cast<C*>(a.mean)[row] = mean;
      static_cast<C*>(a.rstd)[row] = rstd;
    }
  }
}

template <class T, class W, int N, int kSlots, bool kCentred>
__global__ void __launch_bounds__(kMostThreads)
    BackwardKernel(NormBackwardArgs a, int64_t partials) {
  using C = ComputeOf<T>;
  __shared__ C scratch[64];
  constexpr int kKept = kSlots > 0 ? kSlots : 1;
  const int64_t vectors = a.columns / N;
  const C count = static_cast<C>(a.columns), offset = static_cast<C>(a.weight_offset);
  const int64_t group = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (group >= partials) return;
  C* dweight = static_cast<C*>(a.workspace) + group * a.columns;
  C* dbias = static_cast<C*>(a.workspace) + (partials + group) * a.columns;
  C weight_sum[kKept][N] = {}, bias_sum[kKept][N] = {};
  for (int64_t row = group; row < a.rows; row += partials) {
    const T* x = static_cast<const T*>(a.x) + row * a.columns;
    const T* dy = static_cast<const T*>(a.dy) + row * a.columns;
    const C mean = kCentred ? static_cast<const C*>(a.mean)[row] : C(0);
    const C rstd = static_cast<const C*>(a.rstd)[row];
    C normal[kKept][N], d[kKept][N];
    C sums[2] = {0, 0};
    const auto load = [&](int64_t v, int slot, C(&gain)[N]) {
      LoadVector<N>(x, v, normal[slot]);
      LoadVector<N>(dy, v, d[slot]);
      LoadVector<N>(static_cast<const W*>(a.weight), v, gain);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        normal[slot][i] = nn::Normalised<C>(normal[slot][i], mean, rstd);
        gain[i] += offset;
      }
    };
    ForEachVector<kSlots>(vectors, [&](int64_t v, int slot) {
      C gain[N];
      load(v, slot, gain);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const C g = d[slot][i] * gain[i];
        sums[0] += g;
        sums[1] += g * normal[slot][i];
      }
    });
    GroupSum(sums, scratch);
    const C mean_g = kCentred ? sums[0] / count : C(0), mean_gn = sums[1] / count;
    ForEachVector<kSlots>(vectors, [&](int64_t v, int slot) {
      C gain[N], out[N];
      if constexpr (kSlots == 0) {
        load(v, slot, gain);
        if (row != group) {
          LoadVector<N>(dweight, v, weight_sum[0]);
          LoadVector<N>(dbias, v, bias_sum[0]);
        } else {
#pragma unroll
          for (int i = 0; i < N; ++i) weight_sum[0][i] = bias_sum[0][i] = 0;
        }
      } else {
        LoadVector<N>(static_cast<const W*>(a.weight), v, gain);
#pragma unroll
        for (int i = 0; i < N; ++i) gain[i] += offset;
      }
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const C n = normal[slot][i];
        out[i] = nn::NormInputGradient<C>(d[slot][i] * gain[i], n, mean_g, mean_gn, rstd);
        weight_sum[slot][i] += d[slot][i] * n;
        bias_sum[slot][i] += d[slot][i];
      }
      StoreVector<N>(static_cast<T*>(a.dx) + row * a.columns, v, out);
      if constexpr (kSlots == 0) {
        StoreVector<N>(dweight, v, weight_sum[0]);
        StoreVector<N>(dbias, v, bias_sum[0]);
      }
    });
  }
  if constexpr (kSlots > 0) {
    ForEachVector<kSlots>(vectors, [&](int64_t v, int slot) {
      StoreVector<N>(dweight, v, weight_sum[slot]);
      StoreVector<N>(dbias, v, bias_sum[slot]);
    });
  }
}

// Threads of a row group, and rows that a block takes at once.
struct Shape {
  dim3 block;
  bool in_registers;
};

Shape GroupShape(int64_t vectors, int slots) {
  const int64_t wanted = (vectors + slots - 1) / slots;
  const int threads = static_cast<int>(std::min<int64_t>(kMostThreads, (wanted + 31) / 32 * 32));
  return {dim3(threads, threads == 32 ? 4 : 1), wanted <= kMostThreads};
}

template <class T, class W, int N, bool kCentred>
void LaunchForward(const NormForwardArgs& a, cudaStream_t stream) {
  const Shape shape = GroupShape(a.columns / N, kForwardVectors);
  const int grid = GridSize(a.rows, shape.block.y);
  if (shape.in_registers) {
    ForwardKernel<T, W, N, kForwardVectors, kCentred><<<grid, shape.block, 0, stream>>>(a);
  } else {
    ForwardKernel<T, W, N, 0, kCentred><<<grid, shape.block, 0, stream>>>(a);
  }
}

template <class T, class W, int N, bool kCentred>
void LaunchBackward(const NormBackwardArgs& a, cudaStream_t stream) {
  using C = ComputeOf<T>;
  const Shape shape = GroupShape(a.columns / N, kBackwardVectors);
  const int64_t partials = std::min(a.rows, nn::kNormPartials);
  const int grid = static_cast<int>((partials + shape.block.y - 1) / shape.block.y);
  if (shape.in_registers) {
    BackwardKernel<T, W, N, kBackwardVectors, kCentred>
        <<<grid, shape.block, 0, stream>>>(a, partials);
  } else {
    BackwardKernel<T, W, N, 0, kCentred><<<grid, shape.block, 0, stream>>>(a, partials);
  }
  const C* sums = static_cast<const C*>(a.workspace);
  LaunchColumnSum(sums, partials, a.columns, static_cast<W*>(a.dweight), stream);
  if (a.dbias != nullptr) {
    LaunchColumnSum(sums + partials * a.columns, partials, a.columns, static_cast<W*>(a.dbias),
                    stream);
  }
}

template <class Args>
void CheckCommon(const Args& a, const char* kernel) {
  CheckArgument(a.rows >= 0 && a.columns > 0, kernel, a.name, "rows or columns out of range");
  CheckArgument(
      a.weight_type == a.type || (a.weight_type == FloatType::kF32 && a.type != FloatType::kF64),
      kernel, a.name, "weights must have the type of x or be f32");
  CheckArgument(a.rows == 0 || (a.x != nullptr && a.weight != nullptr && a.rstd != nullptr), kernel,
                a.name, "x, weight or rstd is null");
  CheckArgument(a.rows == 0 || a.kind == NormKind::kRmsNorm || a.mean != nullptr, kernel, a.name,
                "LayerNorm needs the mean buffer");
}

// Vectors of 16 bytes of x; the weights of the same elements may take 32 bytes (f32 beside bf16),
// aligned likewise.
template <class T, class W, class... Pointers>
bool Vectorisable(int64_t columns, const void* weight, const void* bias, Pointers... pointers) {
  constexpr uintptr_t kWeightBytes = kVector<T> * sizeof(W);
  return CanVectorise(columns, sizeof(T), pointers...) &&
         reinterpret_cast<uintptr_t>(weight) % kWeightBytes == 0 &&
         reinterpret_cast<uintptr_t>(bias) % kWeightBytes == 0;
}

}  // namespace

void NormForward(const NormForwardArgs& a, cudaStream_t stream) {
  CheckCommon(a, "NormForward");
  if (a.rows == 0) return;
  CheckArgument(a.y != nullptr, "NormForward", a.name, "y is null");
  nn::DispatchNormTypes(a.type, a.weight_type, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    const bool vectors = Vectorisable<T, W>(a.columns, a.weight, a.bias, a.x, a.y);
    const bool centred = a.kind == NormKind::kLayerNorm;
    const auto launch =
        vectors ? (centred ? &LaunchForward<T, W, kVector<T>, true>
                           : &LaunchForward<T, W, kVector<T>, false>)
                : (centred ? &LaunchForward<T, W, 1, true> : &LaunchForward<T, W, 1, false>);
    launch(a, stream);
  });
  CheckLaunch("NormForward", a.name);
}

void NormBackward(const NormBackwardArgs& a, cudaStream_t stream) {
  CheckCommon(a, "NormBackward");
  CheckArgument(
      a.dy != nullptr && a.dx != nullptr && a.dweight != nullptr && a.workspace != nullptr,
      "NormBackward", a.name, "dy, dx, dweight or the workspace is null");
  CheckArgument(a.rows > 0, "NormBackward", a.name, "there are no rows");
  nn::DispatchNormTypes(a.type, a.weight_type, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    const bool vectors = Vectorisable<T, W>(a.columns, a.weight, nullptr, a.x, a.dy, a.dx) &&
                         reinterpret_cast<uintptr_t>(a.workspace) % 32 == 0;
    const bool centred = a.kind == NormKind::kLayerNorm;
    const auto launch =
        vectors ? (centred ? &LaunchBackward<T, W, kVector<T>, true>
                           : &LaunchBackward<T, W, kVector<T>, false>)
                : (centred ? &LaunchBackward<T, W, 1, true> : &LaunchBackward<T, W, 1, false>);
    launch(a, stream);
  });
  CheckLaunch("NormBackward", a.name);
}

}  // namespace orchard::cuda
