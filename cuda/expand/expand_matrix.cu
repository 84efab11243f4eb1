// EXPAND-LINEAR: every source weight of every target row is divided over its copies
// (expand/element.h); padding columns get noise.
//
// What bounds it. A Philox block is 20 products of 32 x 32 -> 64 bits and 20 exclusive ors, and
// serves four neighbouring elements of a copy (expand/weight_noise.h): 5 + 5 instructions an
// element. Splitting two copies on the grid costs about 10 more an element, in floating point,
// which leaves the integer units to the noise. So one thread takes a group of eight (or four)
// neighbouring weights of a target row whose copies are neighbours, too, and starts on a block: it
// loads 16 bytes, draws two blocks a copy and stores 16 bytes a copy. Where a weight's copies lie
// otherwise (the group in which a part of one more copy ends), the same thread goes weight by
// weight.
//
// 4096^2 -> 8192^2 in bf16 moves 168 MB, about 60 us at a copy's 2.8 TB/s on an H100, and takes
// 67 M elements x 29 instructions (counted in the code for it) / (132 x 128 lanes a clock) = 115 k
// clocks, 68 us at 1.7 GHz: the two overlap, so three quarters of the copy rate are within reach,
// and much more is not. docs/performance.md has what was measured.
#include <cuda_runtime.h>

#include "cuda/expand/expand_matrix.h"
#include "cuda/expand/padding.cuh"
#include "cuda/expand/weight_group.cuh"

namespace orchard::cuda {
namespace {

// Stored [out, in]. Threads along the columns, a group each; down the rows with a stride, the next
// row's weights on their way while this one's are split.
template <class T, int N, int kMost, Mode kMode>
__global__ void __launch_bounds__(kThreads) RowGroups(ExpandMatrixArgs a, Constants<T> c) {
  const int64_t j = N * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  int64_t i = c.range.begin + blockIdx.y;
  if (j >= a.source_columns || i >= c.range.end) return;
  // Do all N have as many copies, side by side?
  const int32_t first = a.column_first[j], copies = a.column_first[j + 1] - first;
  bool neighbours = copies >= 1 && copies <= kMost;
  for (int l = 1; l < N; ++l) {
    neighbours = neighbours && a.column_first[j + l + 1] == first + (l + 1) * copies;
  }
  for (int32_t k = 0; neighbours && k < copies; ++k) {
    const int32_t target = a.column_targets[first + k];
    neighbours = target % N == 0;
    for (int l = 1; neighbours && l < N; ++l) {
      neighbours = a.column_targets[first + l * copies + k] == target + l;
    }
  }
  uint64_t block[kMost];  // of the copies in row i
  T* out[kMost];
#pragma unroll
  for (int k = 0; k < kMost; ++k) {
    const int32_t target = neighbours && k < copies ? a.column_targets[first + k] : 0;
    const int64_t index = i * a.target_columns + target;
    block[k] = static_cast<uint64_t>(index) / 4;
    out[k] = static_cast<T*>(a.target) + (index - c.origin);
  }
  const int64_t step = gridDim.y * a.target_columns;
  const uint64_t block_step = static_cast<uint64_t>(step) / 4;
  Group<T, N> next = LoadRow<T, N>(a, a.rows[i], j);
  for (; i < c.range.end; i += gridDim.y) {
    const Group<T, N> w = next;
    if (i + gridDim.y < c.range.end) next = LoadRow<T, N>(a, a.rows[i + gridDim.y], j);
    if (neighbours) {
      SplitNeighbours<T, N, kMost, kMode>(a, c, copies, w, block, out);
#pragma unroll
      for (int k = 0; k < kMost; ++k) block[k] += block_step, out[k] += step;
      continue;
    }
    const int64_t row = i * a.target_columns;
    Group<T, N> rest = w;
#pragma unroll 1
    for (int l = 0; l < N; ++l) {
      const int32_t own = a.column_first[j + l], n = a.column_first[j + l + 1] - own;
      const auto index = [&](int32_t k) { return row + a.column_targets[own + k]; };
      SplitOne<T, kMost>(
          a, c, n, Widen(rest.TakeFirst()),
          [&](int32_t k) { return static_cast<uint64_t>(index(k)); },
          [&](int32_t k) { return static_cast<T*>(a.target) + (index(k) - c.origin); });
    }
  }
}

// Stored [in, out]: threads along the outputs, which are neighbours in every copy; only the source
// may lie otherwise.
template <class T, int N, int kMost, Mode kMode>
__global__ void __launch_bounds__(kThreads) InputGroups(ExpandMatrixArgs a, Constants<T> c) {
  const int64_t i = N * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  if (i >= a.target_rows) return;
  int32_t units[N];
#pragma unroll
  for (int l = 0; l < N; ++l) units[l] = a.rows[i + l];
  for (int64_t j = blockIdx.y; j < a.source_columns; j += gridDim.y) {
    const int32_t first = a.column_first[j], copies = a.column_first[j + 1] - first;
    const T* source = static_cast<const T*>(a.source) + j * a.source_rows;
    const T zero = Narrow<T>(ComputeOf<T>(0));
    const T pad = a.mean_row != nullptr ? static_cast<const T*>(a.mean_row)[j] : zero;
    Group<T, N> w;
#pragma unroll
    for (int l = 0; l < N; ++l) {
      w.Set(l, a.split == Split::kCancel ? zero : units[l] >= 0 ? source[units[l]] : pad);
    }
    uint64_t block[kMost];
    T* out[kMost];
#pragma unroll
    for (int k = 0; k < kMost; ++k) {
      const int64_t input = k < copies ? a.column_targets[first + k] : 0;
      const int64_t index = input * a.target_rows + i;
      block[k] = static_cast<uint64_t>(index) / 4;
      out[k] = c.range.Has(input) ? static_cast<T*>(a.target) + (index - c.origin) : nullptr;
    }
    if (copies > 0) SplitNeighbours<T, N, kMost, kMode>(a, c, copies, w, block, out);
  }
}

// Any sizes, passengers and number of copies, weight by weight. Threads along the axis that is
// contiguous in memory: source columns and passengers, or target rows when transposed.
template <class T, int kMost>
__global__ void __launch_bounds__(kThreads) Singles(ExpandMatrixArgs a, Constants<T> c) {
  using Real = ComputeOf<T>;
  const int64_t fast = a.transposed ? a.target_rows : a.source_columns * a.passengers;
  const int64_t slow_begin = a.transposed ? 0 : c.range.begin;
  const int64_t slow_end = a.transposed ? a.source_columns : c.range.end;
  const int64_t x = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (x >= fast) return;
  for (int64_t y = slow_begin + blockIdx.y; y < slow_end; y += gridDim.y) {
    const int64_t i = a.transposed ? x : y;
    const int64_t j = a.transposed ? y : x / a.passengers;
    const int64_t p = a.transposed ? 0 : x % a.passengers;
    const int32_t u = a.rows[i];
    Real w = 0;
    if (u >= 0) {
      w = Widen(static_cast<const T*>(a.source)[c.from.At(u, j, p)]);
    } else if (a.mean_row != nullptr) {
      w = Widen(static_cast<const T*>(a.mean_row)[j * a.passengers + p]);
    }
    const int32_t first = a.column_first[j];
    const auto target = [&](int32_t k) { return a.column_targets[first + k]; };
    SplitOne<T, kMost>(
        a, c, a.column_first[j + 1] - first, w,
        [&](int32_t k) { return static_cast<uint64_t>(c.to.At(i, target(k), p)); },
        [&](int32_t k) {
          return c.Written(a, a.transposed ? target(k) : i, c.to.At(i, target(k), p));
        });
  }
}

// ---- launches

// Blocks along the contiguous axis, and as many down the other as give every multiprocessor 16 (4,
// 8 and 16 were measured alike for noise, 1 and 2 slower).
dim3 GridOver(int64_t fast_threads, int64_t slow) {
  const int64_t x = (fast_threads + kThreads - 1) / kThreads;
  int64_t y = GridSize(x * slow, 1) / x;
  y = y < 1 ? 1 : y;
  y = y < slow ? y : slow;
  return {static_cast<unsigned>(x), static_cast<unsigned>(y < 65535 ? y : 65535)};
}

template <class T, int N, int kMost, Mode kMode>
void LaunchMode(const ExpandMatrixArgs& a, const Constants<T>& c, cudaStream_t stream) {
  if (a.transposed) {
    InputGroups<T, N, kMost, kMode>
        <<<GridOver(a.target_rows / N, a.source_columns), kThreads, 0, stream>>>(a, c);
  } else {
    RowGroups<T, N, kMost, kMode>
        <<<GridOver(a.source_columns / N, c.range.end - c.range.begin), kThreads, 0, stream>>>(a,
                                                                                               c);
  }
}

template <class T, int N, int kMost>
void LaunchGroups(const ExpandMatrixArgs& a, const Constants<T>& c, cudaStream_t stream) {
  if (a.split == Split::kEqual) return LaunchMode<T, N, kMost, Mode::kEqual>(a, c, stream);
  if constexpr (sizeof(T) == 2) {
    if (a.split == Split::kPairs) return LaunchMode<T, N, kMost, Mode::kFloatPairs>(a, c, stream);
    if (a.split == Split::kGrid || a.split == Split::kCancel) {
      return LaunchMode<T, N, kMost, Mode::kFloatGrid>(a, c, stream);
    }
  }
  LaunchMode<T, N, kMost, Mode::kAny>(a, c, stream);
}

// Whether every row of source and target starts on a group of n.
bool Divides(const ExpandMatrixArgs& a, int64_t n, int64_t bytes) {
  const auto aligned = [&](const void* pointer) {
    return reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(n * bytes) == 0;
  };
  if (a.passengers != 1 || !aligned(a.target)) return false;
  if (a.transposed) return a.target_rows % n == 0;
  return a.source_columns % n == 0 && a.target_columns % n == 0 && aligned(a.source) &&
         aligned(a.mean_row);
}

template <class T, int kMost>
void LaunchSplit(const ExpandMatrixArgs& a, const Constants<T>& c, cudaStream_t stream) {
  constexpr int kBytes = static_cast<int>(sizeof(T));
  if constexpr (kMost > 0 && kBytes == 2) {
    if (Divides(a, 8, kBytes)) return LaunchGroups<T, 8, kMost>(a, c, stream);
  }
  if constexpr (kMost > 0) {
    if (Divides(a, 4, kBytes)) return LaunchGroups<T, 4, kMost>(a, c, stream);
  }
  const int64_t fast = a.transposed ? a.target_rows : a.source_columns * a.passengers;
  const int64_t slow = a.transposed ? a.source_columns : c.range.end - c.range.begin;
  Singles<T, kMost><<<GridOver(fast, slow), kThreads, 0, stream>>>(a, c);
}

template <class T>
void Launch(const ExpandMatrixArgs& a, cudaStream_t stream) {
  const Constants<T> c = MakeConstants<T>(a);
  if (a.most_copies <= 2) {
    LaunchSplit<T, 2>(a, c, stream);
  } else if (a.most_copies <= 4) {
    LaunchSplit<T, 4>(a, c, stream);
  } else {
    LaunchSplit<T, 0>(a, c, stream);
  }
  if (a.pad_count > 0) {
    Padding<T><<<GridSize(a.target_rows * a.passengers, kThreads / 32), kThreads, 0, stream>>>(
        a, c, static_cast<ComputeOf<T>>(a.pad_sigma * expand::kWeightNoiseUnit));
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
  const int64_t all = a.transposed ? a.target_columns : a.target_rows;
  CheckArgument(a.first_unit >= 0 && a.units >= 0 && a.units <= all - a.first_unit, kernel, a.name,
                "the units to write are not units of the target");
  CheckArgument(a.source != nullptr && a.target != nullptr && a.rows != nullptr &&
                    a.column_first != nullptr && a.column_targets != nullptr &&
                    (a.pads != nullptr || a.pad_count == 0),
                kernel, a.name, "a pointer is null");
  if (a.target_rows == 0 || a.target_columns == 0) return;
  DispatchFloat(a.type, [&](auto t) { Launch<decltype(t)>(a, stream); });
  CheckLaunch(kernel, a.name);
}

}  // namespace orchard::cuda
