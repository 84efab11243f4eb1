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

#include "cuda/base/reduce.cuh"
#include "cuda/expand/expand_matrix.h"

namespace orchard::cuda {
namespace {

using expand::ExpandMatrixArgs;
using expand::FloatGridSettings;
using expand::MatrixLayout;
using expand::PadFill;
using expand::Split;
using expand::SplitSettings;
using expand::UnitRange;
using expand::WeightNoise;

constexpr int kThreads = 256;

// What a kernel is given beside the call's arguments.
template <class T>
struct Constants {
  SplitSettings<ComputeOf<T>> settings;
  FloatGridSettings float_grid;  // 16-bit types
  MatrixLayout from, to;
  UnitRange range;
  int64_t origin;       // flat index of the element that `target` points to
  uint32_t limit_bits;  // of float_grid.limit, as stored

  // Where the element of flat index `index`, in `unit`, goes; null when it is not wanted.
  __device__ __forceinline__ T* Written(const ExpandMatrixArgs& a, int64_t unit,
                                        int64_t index) const {
    return range.Has(unit) ? static_cast<T*>(a.target) + (index - origin) : nullptr;
  }
};

template <class T>
Constants<T> MakeConstants(const ExpandMatrixArgs& a) {
  Constants<T> c = {};
  c.settings = expand::MakeSplitSettings<ComputeOf<T>>(expand::GridOf<T>(), a.sigma);
  if constexpr (sizeof(T) == 2) {
    c.float_grid = expand::MakeFloatGridSettings(c.settings);
    c.limit_bits = Narrow<T>(c.float_grid.limit).bits;
  }
  c.from = {a.transposed, a.source_rows, a.source_columns, a.passengers};
  c.to = {a.transposed, a.target_rows, a.target_columns, a.passengers};
  c.range = expand::UnitsOf(a);
  c.origin = c.to.FirstOf(c.range.begin);
  return c;
}

// ---- parts

// Which copies draw noise: for kPairs the odd ones mirror the one before, and an odd last one has
// none.
__device__ __forceinline__ bool Draws(bool paired, int32_t copies, int k) {
  return !paired || (k % 2 == 0 && k + 1 < copies);
}

// The parts of a weight whose copies have this noise, for any type and split: `SplitElement` of all
// ranks.
template <int kCopies, class Real>
__device__ __forceinline__ void PartsOf(Split split, const SplitSettings<Real>& settings,
                                        int32_t copies, Real w, const int32_t* noise, Real* parts) {
  if (split == Split::kCancel) w = Real(0);
  const bool finite = w - w == Real(0);
  // At most four: a choice of constants, where a division would be a call.
  static_assert(kCopies <= 4);
  const Real inverse = copies == 1   ? Real(1)
                       : copies == 2 ? Real(0.5)
                       : copies == 3 ? Real(1) / Real(3)
                                     : Real(0.25);
  if (split == Split::kEqual) {  // bound by memory, so the grid must not be worked out
#pragma unroll
    for (int k = 0; k < kCopies; ++k) parts[k] = finite ? w * inverse : w;
    return;
  }
  int32_t sum = 0;
#pragma unroll
  for (int k = 0; k < kCopies; ++k) sum += k < copies ? noise[k] : 0;
  const expand::GridUnit<Real> unit =
      expand::MakeGridUnit(settings.grid, finite ? w : Real(0), settings.zero_exponent);
  typename expand::RealTraits<Real>::Int rest = expand::ToGrid(unit, finite ? w : Real(0));
#pragma unroll
  for (int k = 0; k < kCopies; ++k) {
    if (k >= copies) break;
    Real part = w;
    if (finite && copies > 1 && split == Split::kComplement) {
      part = k > 0 ? settings.noise * static_cast<Real>(noise[k])
                   : w - settings.noise * static_cast<Real>(sum - noise[k]);
    } else if (finite && copies > 1) {
      part = expand::ProjectedPart(settings.noise, noise[k], sum, inverse, copies, w);
      if (split != Split::kProjection) {
        if (split == Split::kPairs) part = expand::PairedTarget(unit, part, w * inverse);
        const auto n = expand::GridPart(unit, part, rest, copies - 1 - k);
        rest -= n;
        part = expand::FromGrid(unit, n);
      }
    }
    parts[k] = part;
  }
}

// One weight alone. index(k): flat index of copy k. address(k): where it goes, or null.
template <class T, int kMost, class Index, class Address>
__device__ __forceinline__ void SplitOne(const ExpandMatrixArgs& a, const Constants<T>& c,
                                         int32_t copies, ComputeOf<T> w, const Index& index,
                                         const Address& address) {
  using Real = ComputeOf<T>;
  const auto write = [&](int32_t k, Real part) {
    T* out = address(k);
    if (out != nullptr) *out = Narrow<T>(part);
  };
  if constexpr (kMost > 0) {
    int32_t noise[kMost];
    Real parts[kMost];
#pragma unroll
    for (int k = 0; k < kMost; ++k) {
      noise[k] = 0;
      if (k >= copies || copies == 1 || a.split == Split::kEqual) continue;
      if (Draws(a.split == Split::kPairs, copies, k)) {
        noise[k] = WeightNoise(a.key, index(k));
      } else if (k % 2 == 1) {
        noise[k] = -noise[k - 1];
      }
    }
    PartsOf<kMost>(a.split, c.settings, copies, w, noise, parts);
#pragma unroll
    for (int k = 0; k < kMost; ++k) {
      if (k < copies) write(k, parts[k]);
    }
  } else {
    uint64_t indices[expand::kMaxCopies];
    for (int32_t k = 0; k < copies; ++k) indices[k] = index(k);
    for (int32_t k = 0; k < copies; ++k) {
      write(k, expand::SplitElement(a.split, c.settings, a.key, copies, k, indices, w));
    }
  }
}

// ---- groups of neighbours

// N stored elements as they lie in registers, moved at once.
template <class T, int N>
struct alignas(N * sizeof(T)) Group {
  static constexpr int kWords = N * static_cast<int>(sizeof(T)) / 4;
  uint32_t word[kWords];

  __device__ __forceinline__ T At(int m) const {
    if constexpr (sizeof(T) == 2) {
      return {static_cast<uint16_t>(m % 2 == 1 ? word[m / 2] >> 16 : word[m / 2])};
    } else if constexpr (sizeof(T) == 4) {
      return __uint_as_float(word[m]);
    } else {
      return __hiloint2double(static_cast<int>(word[2 * m + 1]), static_cast<int>(word[2 * m]));
    }
  }

  __device__ __forceinline__ void Set(int m, T value) {
    if constexpr (sizeof(T) == 2) {
      const uint32_t bits = value.bits;
      word[m / 2] = m % 2 == 1 ? (word[m / 2] & 0xFFFFu) | bits << 16 : bits;
    } else if constexpr (sizeof(T) == 4) {
      word[m] = __float_as_uint(value);
    } else {
      word[2 * m] = static_cast<uint32_t>(__double2loint(value));
      word[2 * m + 1] = static_cast<uint32_t>(__double2hiint(value));
    }
  }

  // Takes the first element off and moves the others up: a loop over elements that needs no index,
  // for which the group would have to lie in memory.
  __device__ __forceinline__ T TakeFirst() {
    const T first = At(0);
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      if constexpr (sizeof(T) == 2) {
        word[i] = __funnelshift_r(word[i], i + 1 < kWords ? word[i + 1] : 0, 16);
      } else {
        constexpr int kStep = static_cast<int>(sizeof(T)) / 4;
        word[i] = i + kStep < kWords ? word[i + kStep] : 0;
      }
    }
    return first;
  }

  // 16 bytes at once, or 8.
  __device__ __forceinline__ void Load(const T* from) {
    *this = *reinterpret_cast<const Group*>(from);
  }
  __device__ __forceinline__ void Store(T* to) const { *reinterpret_cast<Group*>(to) = *this; }
};

template <class T, int N>
__device__ __forceinline__ Group<T, N> Zeros() {
  Group<T, N> w;
#pragma unroll
  for (uint32_t& word : w.word) word = 0;
  return w;
}

// The weights of a pair as floats, and two parts that are bf16 or f16 numbers as a pair.
__device__ __forceinline__ void WidenPair(BFloat16, uint32_t pair, float* w) {
  w[0] = __uint_as_float(pair << 16);
  w[1] = __uint_as_float(pair & 0xFFFF0000u);
}
__device__ __forceinline__ void WidenPair(Float16, uint32_t pair, float* w) {
  w[0] = Widen(Float16{static_cast<uint16_t>(pair)});
  w[1] = Widen(Float16{static_cast<uint16_t>(pair >> 16)});
}
__device__ __forceinline__ uint32_t PairOf(BFloat16, float low, float high) {
  return __byte_perm(__float_as_uint(low), __float_as_uint(high), 0x7632);
}
__device__ __forceinline__ uint32_t PairOf(Float16, float low, float high) {
  return Narrow<Float16>(low).bits | static_cast<uint32_t>(Narrow<Float16>(high).bits) << 16;
}

// Whether all weights of a group are below the float grid's limit, whose bits are given.
template <class T, int N>
__device__ __forceinline__ bool Fits(const Group<T, N>& w, uint32_t limit_bits) {
  uint32_t largest = 0;
#pragma unroll
  for (const uint32_t word : w.word) largest = __vmaxu2(largest, word & 0x7FFF7FFFu);
  return (largest & 0xFFFFu) < limit_bits && (largest >> 16) < limit_bits;
}

// How the parts of a kernel are made.
enum class Mode {
  kEqual,       // no noise, and few registers: bound by memory alone
  kFloatGrid,   // grid and cancel of 16-bit types
  kFloatPairs,  // pairs of 16-bit types
  kAny
};

// Splits N weights over `copies` runs of N elements. block[k]: index of the first noise block of
// copy k; out[k]: where its parts go, null where they are not wanted. kCopies is `copies`, or for
// kAny at least that many. Weights have to `Fit` unless kAny.
template <class T, int N, int kCopies, Mode kMode>
__device__ __forceinline__ void SplitGroup(const ExpandMatrixArgs& a, const Constants<T>& c,
                                           int32_t copies, const Group<T, N>& w,
                                           const uint64_t* block, T* const* out) {
  using Real = ComputeOf<T>;
  const bool paired =
      kMode == Mode::kFloatPairs || (kMode == Mode::kAny && a.split == Split::kPairs);
  const bool drawn = kMode != Mode::kEqual && (kMode != Mode::kAny || a.split != Split::kEqual);
  Group<T, N> result[kCopies];
#pragma unroll
  for (int quad = 0; quad < N / 4; ++quad) {
    Philox4 words[kCopies];
#pragma unroll
    for (int k = 0; k < kCopies; ++k) {
      // A group starts on a multiple of N, so the bits of `quad` are free.
      if (drawn && k < copies && Draws(paired, copies, k)) {
        words[k] = expand::NoiseBlock(a.key, block[k] | static_cast<unsigned>(quad));
      }
    }
    Real parts[4][kCopies];
#pragma unroll
    for (int l = 0; l < 4; ++l) {
      int32_t noise[kCopies];
#pragma unroll
      for (int k = 0; k < kCopies; ++k) {
        noise[k] = 0;
        if (Draws(paired, copies, k)) {
          noise[k] = drawn && k < copies ? expand::NoiseOfWord(words[k].word[l]) : 0;
        } else if (k % 2 == 1) {
          noise[k] = -noise[k - 1];
        }
      }
      if constexpr (kMode == Mode::kEqual) {
        PartsOf<kCopies>(Split::kEqual, c.settings, copies,
                         static_cast<Real>(Widen(w.At(4 * quad + l))), noise, parts[l]);
      } else if constexpr (kMode == Mode::kAny) {
        PartsOf<kCopies>(a.split, c.settings, copies, static_cast<Real>(Widen(w.At(4 * quad + l))),
                         noise, parts[l]);
      } else {
        float pair[2];
        WidenPair(T{}, w.word[2 * quad + l / 2], pair);
        expand::FloatGridParts<kCopies>(c.float_grid, c.settings.noise, paired, pair[l % 2], noise,
                                        parts[l]);
      }
    }
#pragma unroll
    for (int k = 0; k < kCopies; ++k) {
      if constexpr (kMode == Mode::kAny || kMode == Mode::kEqual) {
#pragma unroll
        for (int l = 0; l < 4; ++l) result[k].Set(4 * quad + l, Narrow<T>(parts[l][k]));
      } else {
        result[k].word[2 * quad] = PairOf(T{}, parts[0][k], parts[1][k]);
        result[k].word[2 * quad + 1] = PairOf(T{}, parts[2][k], parts[3][k]);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kCopies; ++k) {
    if (k < copies && out[k] != nullptr) result[k].Store(out[k]);
  }
}

// N neighbouring weights whose copies are neighbours as well and start on a multiple of N.
template <class T, int N, int kMost, Mode kMode>
__device__ __forceinline__ void SplitNeighbours(const ExpandMatrixArgs& a, const Constants<T>& c,
                                                int32_t copies, const Group<T, N>& w,
                                                const uint64_t* block, T* const* out) {
  if (copies == 1) {
    if (out[0] != nullptr) w.Store(out[0]);
    return;
  }
  constexpr bool kLimited = kMode == Mode::kFloatGrid || kMode == Mode::kFloatPairs;
  if (kLimited && !Fits(w, c.limit_bits)) {
    Group<T, N> rest = w;
#pragma unroll 1
    for (int l = 0; l < N; ++l) {
      SplitOne<T, kMost>(
          a, c, copies, Widen(rest.TakeFirst()), [&](int32_t k) { return 4 * block[k] + l; },
          [&](int32_t k) { return out[k] == nullptr ? nullptr : out[k] + l; });
    }
    return;
  }
  if constexpr (kMode == Mode::kAny) {
    SplitGroup<T, N, kMost, kMode>(a, c, copies, w, block, out);
  } else {
    if (copies == 2) SplitGroup<T, N, 2, kMode>(a, c, 2, w, block, out);
    if constexpr (kMost >= 4) {
      if (copies == 3) SplitGroup<T, N, 3, kMode>(a, c, 3, w, block, out);
      if (copies == 4) SplitGroup<T, N, 4, kMode>(a, c, 4, w, block, out);
    }
  }
}

// The weights of source row u (or the mean, or zeros) from element `at` of the row on.
template <class T, int N>
__device__ __forceinline__ Group<T, N> LoadRow(const ExpandMatrixArgs& a, int32_t u, int64_t at) {
  const T* from = u >= 0 ? static_cast<const T*>(a.source) + u * a.source_columns
                         : static_cast<const T*>(a.mean_row);
  if (from == nullptr || a.split == Split::kCancel) return Zeros<T, N>();
  Group<T, N> w;
  w.Load(from + at);
  return w;
}

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

// ---- padding columns

// The noise of elements visited in ascending order: a block is drawn once for those it serves.
class NoiseInOrder {
 public:
  __device__ explicit NoiseInOrder(Philox2 key) : key_(key) {}
  __device__ __forceinline__ int32_t At(int64_t index) {
    const uint64_t element = static_cast<uint64_t>(index);
    if (element / 4 != drawn_) {
      drawn_ = element / 4;
      block_ = expand::NoiseBlock(key_, drawn_);
    }
    const uint32_t low = element & 1u ? block_.word[1] : block_.word[0];
    const uint32_t high = element & 1u ? block_.word[3] : block_.word[2];
    return expand::NoiseOfWord(element & 2u ? high : low);
  }

 private:
  Philox2 key_;
  uint64_t drawn_ = ~uint64_t{0};
  Philox4 block_;
};

// One warp for the padding of one row and passenger, four columns a lane at a time: the sum of its
// noise first, where it is to be centred.
template <class T>
__global__ void __launch_bounds__(kThreads)
    Padding(ExpandMatrixArgs a, Constants<T> c, ComputeOf<T> unit) {
  using Real = ComputeOf<T>;
  constexpr int kRun = 4;
  const int lane = threadIdx.x % 32;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * (kThreads / 32);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32;
  const int64_t row_begin = a.transposed ? 0 : c.range.begin;
  const int64_t row_end = a.transposed ? a.target_rows : c.range.end;
  const auto each = [&](int64_t i, int64_t p, const auto& visit) {
    NoiseInOrder noise(a.key);
    for (int64_t n = kRun * lane; n < a.pad_count; n += 32 * kRun) {
      for (int64_t m = n; m < a.pad_count && m < n + kRun; ++m) {
        const int64_t at = c.to.At(i, a.pads[m], p);
        visit(a.pads[m], at, a.pad_fill == PadFill::kZero ? 0 : noise.At(at));
      }
    }
  };
  for (int64_t row = row_begin * a.passengers + first; row < row_end * a.passengers; row += warps) {
    const int64_t i = row / a.passengers, p = row % a.passengers;
    long long sum = 0;
    if (a.pad_fill == PadFill::kCentredNoise) {
      each(i, p, [&](int64_t, int64_t, int32_t noise) { sum += noise; });
      sum = WarpReduce(sum, Add());
    }
    each(i, p, [&](int64_t column, int64_t at, int32_t noise) {
      T* out = c.Written(a, a.transposed ? column : i, at);
      if (out == nullptr) return;
      Real value = 0;
      if (a.pad_fill == PadFill::kNoise) value = unit * static_cast<Real>(noise);
      if (a.pad_fill == PadFill::kCentredNoise) {
        value = expand::CentredPadElement(unit, noise, static_cast<int64_t>(sum), a.pad_count);
      }
      *out = Narrow<T>(value);
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
