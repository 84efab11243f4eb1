// Groups of neighbouring weights, loaded, split and stored at once.
#pragma once

#include "cuda/expand/weight_parts.cuh"

namespace orchard::cuda {

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

}  // namespace orchard::cuda
