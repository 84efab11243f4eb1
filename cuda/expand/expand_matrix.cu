// EXPAND-LINEAR: every source weight of every target row is divided over its copies
// (expand/element.h); padding columns get noise.
//
// What bounds it. Each target element that has a partner draws one Philox block, ten rounds of
// about 12 integer operations. At 64 such operations a clock, a Hopper multiprocessor makes about
// one element every two clocks: some 1e11 elements a second on 132 of them, an order of magnitude
// below what memory could take in bf16. So the kernel saves draws, not bytes: a thread takes one
// source weight of one target row, draws each copy's noise once (kept in registers for up to four
// copies, drawn again beyond that), and writes all its parts. Neighbouring threads take
// neighbouring weights, so that loads and stores of a warp are contiguous for every copy. Bytes per
// target element: its own, plus source / copies read (source rows that are copied repeatedly come
// from L2).
#include <cuda_runtime.h>

#include "cuda/base/reduce.cuh"
#include "cuda/base/vector.cuh"
#include "cuda/expand/expand_matrix.h"

namespace orchard::cuda {
namespace {

using expand::ExpandMatrixArgs;
using expand::MatrixLayout;
using expand::PadFill;
using expand::Split;

constexpr int kThreads = 256;

__device__ __forceinline__ int32_t Noise(Philox2 key, int64_t index) {
  return NoiseInteger(PhiloxAt(key, static_cast<uint64_t>(index)));
}

// Writes the parts of w. kKept > 0: there are at most kKept copies and their noise stays in
// registers.
template <class T, int kKept, class Real>
__device__ __forceinline__ void WriteParts(const ExpandMatrixArgs& a,
                                           const expand::SplitSettings<Real>& settings,
                                           const MatrixLayout& to, int64_t i, int64_t p,
                                           const int32_t* targets, int32_t copies, Real w) {
  T* out = static_cast<T*>(a.target);
  if (a.split == Split::kCancel) w = Real(0);
  const bool finite = w - w == Real(0);
  const Real inverse = Real(1) / static_cast<Real>(copies);
  const bool drawn = finite && copies > 1 && a.split != Split::kEqual;
  constexpr int kSlots = kKept > 0 ? kKept : 1;
  int32_t kept[kSlots];
  int32_t sum = 0;
  if (drawn) {
    if constexpr (kKept > 0) {
#pragma unroll
      for (int k = 0; k < kKept; ++k) {
        kept[k] = k < copies ? Noise(a.key, to.At(i, targets[k], p)) : 0;
        sum += kept[k];
      }
    } else {
      for (int32_t k = 0; k < copies; ++k) sum += Noise(a.key, to.At(i, targets[k], p));
    }
  }
  const expand::GridUnit<Real> unit =
      expand::MakeGridUnit(settings.grid, finite ? w : Real(0), settings.zero_exponent);
  typename expand::RealTraits<Real>::Int rest = expand::ToGrid(unit, finite ? w : Real(0));
  const auto write = [&](int32_t k, int32_t noise) {
    Real part = w;
    if (finite && a.split == Split::kEqual) {
      part = w * inverse;
    } else if (drawn && a.split == Split::kComplement) {
      part = k > 0 ? settings.noise * static_cast<Real>(noise)
                   : w - settings.noise * static_cast<Real>(sum - noise);
    } else if (drawn) {
      part = expand::ProjectedPart(settings.noise, noise, sum, inverse, copies, w);
      if (a.split != Split::kProjection) {
        const auto n = expand::GridPart(unit, part, rest, copies - 1 - k);
        rest -= n;
        part = expand::FromGrid(unit, n);
      }
    }
    out[to.At(i, targets[k], p)] = Narrow<T>(part);
  };
  if constexpr (kKept > 0) {
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
      if (k < copies) write(k, kept[k]);
    }
  } else {
    for (int32_t k = 0; k < copies; ++k) {
      write(k, drawn ? Noise(a.key, to.At(i, targets[k], p)) : 0);
    }
  }
}

// Threads along the axis that is contiguous in memory: source columns and passengers, or target
// rows when transposed.
template <class T, int kKept>
__global__ void __launch_bounds__(kThreads)
    SplitKernel(ExpandMatrixArgs a, expand::SplitSettings<ComputeOf<T>> settings) {
  using Real = ComputeOf<T>;
  const MatrixLayout from{a.transposed, a.source_rows, a.source_columns, a.passengers};
  const MatrixLayout to{a.transposed, a.target_rows, a.target_columns, a.passengers};
  const int64_t fast = a.transposed ? a.target_rows : a.source_columns * a.passengers;
  const int64_t slow = a.transposed ? a.source_columns : a.target_rows;
  const int64_t x = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (x >= fast) return;
  for (int64_t y = blockIdx.y; y < slow; y += gridDim.y) {
    const int64_t i = a.transposed ? x : y;
    const int64_t j = a.transposed ? y : x / a.passengers;
    const int64_t p = a.transposed ? 0 : x % a.passengers;
    const int32_t u = a.rows[i];
    Real w = 0;
    if (u >= 0) {
      w = Widen(static_cast<const T*>(a.source)[from.At(u, j, p)]);
    } else if (a.mean_row != nullptr) {
      w = Widen(static_cast<const T*>(a.mean_row)[j * a.passengers + p]);
    }
    const int32_t first = a.column_first[j];
    WriteParts<T, kKept>(a, settings, to, i, p, a.column_targets + first,
                         a.column_first[j + 1] - first, w);
  }
}

// One warp for the padding of one row and passenger: the sum of its noise first, where it is to be
// centred.
template <class T>
__global__ void __launch_bounds__(kThreads) PadKernel(ExpandMatrixArgs a, ComputeOf<T> unit) {
  using Real = ComputeOf<T>;
  const MatrixLayout to{a.transposed, a.target_rows, a.target_columns, a.passengers};
  const int lane = threadIdx.x % 32;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * (kThreads / 32);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32;
  for (int64_t row = first; row < a.target_rows * a.passengers; row += warps) {
    const int64_t i = row / a.passengers, p = row % a.passengers;
    long long sum = 0;
    if (a.pad_fill == PadFill::kCentredNoise) {
      for (int64_t n = lane; n < a.pad_count; n += 32) sum += Noise(a.key, to.At(i, a.pads[n], p));
      sum = WarpReduce(sum, Add());
    }
    for (int64_t n = lane; n < a.pad_count; n += 32) {
      const int64_t at = to.At(i, a.pads[n], p);
      Real value = 0;
      if (a.pad_fill == PadFill::kNoise) value = unit * static_cast<Real>(Noise(a.key, at));
      if (a.pad_fill == PadFill::kCentredNoise) {
        value = expand::CentredPadElement(unit, Noise(a.key, at), static_cast<int64_t>(sum),
                                          a.pad_count);
      }
      static_cast<T*>(a.target)[at] = Narrow<T>(value);
    }
  }
}

template <class T>
void Launch(const ExpandMatrixArgs& a, cudaStream_t stream) {
  using Real = ComputeOf<T>;
  const auto settings = expand::MakeSplitSettings<Real>(expand::GridOf<T>(), a.sigma);
  const int64_t fast = a.transposed ? a.target_rows : a.source_columns * a.passengers;
  const int64_t slow = a.transposed ? a.source_columns : a.target_rows;
  const dim3 grid(static_cast<unsigned>((fast + kThreads - 1) / kThreads),
                  static_cast<unsigned>(slow < 65535 ? slow : 65535));
  if (a.most_copies <= 2) {
    SplitKernel<T, 2><<<grid, kThreads, 0, stream>>>(a, settings);
  } else if (a.most_copies <= 4) {
    SplitKernel<T, 4><<<grid, kThreads, 0, stream>>>(a, settings);
  } else {
    SplitKernel<T, 0><<<grid, kThreads, 0, stream>>>(a, settings);
  }
  if (a.pad_count > 0) {
    PadKernel<T><<<GridSize(a.target_rows * a.passengers, kThreads / 32), kThreads, 0, stream>>>(
        a, static_cast<Real>(a.pad_sigma * kNoiseUnit));
  }
}

}  // namespace

void ExpandMatrix(const ExpandMatrixArgs& a, cudaStream_t stream) {
  const char* kernel = "ExpandMatrix";
  CheckArgument(a.source_rows > 0 && a.source_columns > 0 && a.passengers > 0, kernel, a.name,
                "the source is empty");
  CheckArgument(!a.transposed || a.passengers == 1, kernel, a.name,
                "a transposed matrix has no passengers");
  CheckArgument(a.most_copies >= 1 && a.most_copies <= expand::kMaxCopies, kernel, a.name,
                "the number of copies of a column is out of range");
  CheckArgument(a.target_columns < INT32_MAX && a.target_rows < INT32_MAX, kernel, a.name,
                "an axis is longer than 2^31 - 1");
  CheckArgument(a.source != nullptr && a.target != nullptr && a.rows != nullptr &&
                    a.column_first != nullptr && a.column_targets != nullptr &&
                    (a.pads != nullptr || a.pad_count == 0),
                kernel, a.name, "a pointer is null");
  if (a.target_rows == 0 || a.target_columns == 0) return;
  DispatchFloat(a.type, [&](auto t) { Launch<decltype(t)>(a, stream); });
  CheckLaunch(kernel, a.name);
}

}  // namespace orchard::cuda
