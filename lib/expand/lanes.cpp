#include "expand/lanes.h"

#include <cmath>
#include <cstring>

// One function body, compiled for several vector widths and chosen when the library is loaded. All
// of them give the same bits: the arithmetic is integer or correctly rounded, and contraction is
// off for the whole project.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define ORCHARD_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define ORCHARD_VECTOR_CLONES
#endif

namespace orchard::expand {
namespace {

// ---- any format, any split: widened, split, rounded

// The noise of copy k, in [copies, kLanes].
template <class Integer>
ORCHARD_HD Integer* OfCopy(Integer* noise, int k) {
  return noise + static_cast<int64_t>(k) * kLanes;
}

// The noise of copy k of every lane: `CopyNoise` of each.
ORCHARD_HD void FillCopyNoise(Split split, Philox2 key, int copies, int k, const uint64_t* base,
                              int lanes, int32_t* noise) {
  int32_t* own = OfCopy(noise, k);
  if (split != Split::kPairs || (k % 2 == 0 && k + 1 < copies)) {
    int32_t room[kNoiseRoom];
    memcpy(own, NoiseLanes(key, base[k], lanes, room),
           static_cast<size_t>(lanes) * sizeof(int32_t));
  } else if (k % 2 == 1) {
    for (int l = 0; l < lanes; ++l) own[l] = -own[l - kLanes];
  } else {
    for (int l = 0; l < lanes; ++l) own[l] = 0;
  }
}

template <class T, class Real>
ORCHARD_HD void Complement(Real unit, int copies, const Real* weights, int lanes,
                           const int32_t* noise, const int32_t* sum, T* const* parts) {
  for (int k = 0; k < copies; ++k) {
    if (!parts[k]) continue;
    const int32_t* own = OfCopy(noise, k);
    for (int l = 0; l < lanes; ++l) {
      const Real part = k == 0 ? weights[l] - unit * static_cast<Real>(sum[l] - own[l])
                               : unit * static_cast<Real>(own[l]);
      parts[k][l] = Narrow<T>(part);
    }
  }
}

template <class T, class Real>
ORCHARD_HD void Projection(Real unit, int copies, const Real* weights, int lanes,
                           const int32_t* noise, const int32_t* sum, T* const* parts) {
  const Real inverse = Real(1) / static_cast<Real>(copies);
  for (int k = 0; k < copies; ++k) {
    if (!parts[k]) continue;
    const int32_t* own = OfCopy(noise, k);
    for (int l = 0; l < lanes; ++l) {
      parts[k][l] = Narrow<T>(ProjectedPart(unit, own[l], sum[l], inverse, copies, weights[l]));
    }
  }
}

template <bool kPaired, class T, class Real>
ORCHARD_HD void Grid(const SplitSettings<Real>& settings, int copies, const Real* weights,
                     int lanes, const int32_t* noise, const int32_t* sum, T* const* parts) {
  using Int = typename RealTraits<Real>::Int;
  const Real inverse = Real(1) / static_cast<Real>(copies);
  Int rest[kLanes];
  for (int l = 0; l < lanes; ++l) {
    rest[l] = ToGrid(MakeGridUnit(settings.grid, weights[l], settings.zero_exponent), weights[l]);
  }
  for (int k = 0; k < copies; ++k) {
    const int32_t* own = OfCopy(noise, k);
    T unwanted[kLanes];
    T* out = parts[k] ? parts[k] : unwanted;
    for (int l = 0; l < lanes; ++l) {
      const GridUnit<Real> unit = MakeGridUnit(settings.grid, weights[l], settings.zero_exponent);
      Real target = ProjectedPart(settings.noise, own[l], sum[l], inverse, copies, weights[l]);
      if constexpr (kPaired) target = PairedTarget(unit, target, weights[l] * inverse);
      const Int part = GridPart(unit, target, rest[l], copies - 1 - k);
      rest[l] -= part;
      out[l] = Narrow<T>(FromGrid(unit, part));
    }
  }
}

template <class T, class Real>
ORCHARD_HD void SplitWidened(Split split, const SplitSettings<Real>& settings, Philox2 key,
                             int copies, const uint64_t* base, const Real* weights, int lanes,
                             T* const* parts) {
  if (!AllFinite(weights, lanes)) {
    // Such values have no parts: every copy keeps them, as in SplitElement.
    for (int l = 0; l < lanes; ++l) {
      uint64_t index[kMaxCopies];
      for (int k = 0; k < copies; ++k) index[k] = base[k] + static_cast<uint64_t>(l);
      for (int k = 0; k < copies; ++k) {
        if (!parts[k]) continue;
        parts[k][l] = Narrow<T>(SplitElement(split, settings, key, copies, k, index, weights[l]));
      }
    }
    return;
  }
  int32_t noise[kMaxCopies * kLanes], sum[kLanes];
  for (int l = 0; l < lanes; ++l) sum[l] = 0;
  for (int k = 0; k < copies; ++k) {
    FillCopyNoise(split, key, copies, k, base, lanes, noise);
    const int32_t* own = OfCopy(noise, k);
    for (int l = 0; l < lanes; ++l) sum[l] += own[l];
  }
  switch (split) {
    case Split::kComplement:
      return Complement(settings.noise, copies, weights, lanes, noise, sum, parts);
    case Split::kProjection:
      return Projection(settings.noise, copies, weights, lanes, noise, sum, parts);
    case Split::kPairs:
      return Grid<true>(settings, copies, weights, lanes, noise, sum, parts);
    default:
      return Grid<false>(settings, copies, weights, lanes, noise, sum, parts);
  }
}

// ---- the grid of 16-bit formats with two to four copies, in one pass from storage to storage

// Largest bits of the magnitudes of stored values.
template <class T>
ORCHARD_HD uint16_t LargestMagnitude(const T* values, int64_t count) {
  uint16_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t magnitude = values[i].bits & 0x7FFFu;
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

// A part is a storage number: no rounding.
ORCHARD_HD void StoreExact(float part, BFloat16& stored) {
  stored.bits = static_cast<uint16_t>(FloatBits(part) >> 16);
}
ORCHARD_HD void StoreExact(float part, Float16& stored) { stored = Narrow<Float16>(part); }

template <int kCopies, class T>
ORCHARD_HD void FloatGridRun(const FloatGridSettings& settings, float noise_unit, bool paired,
                             bool cancel, const T* weights, int lanes, const int32_t* const* noise,
                             T* const* parts) {
  const int32_t* n[kCopies];
  T* out[kCopies];
  for (int k = 0; k < kCopies; ++k) n[k] = noise[k], out[k] = parts[k];
  for (int l = 0; l < lanes; ++l) {
    int32_t own[kCopies];
    float part[kCopies];
#pragma GCC unroll 4
    for (int k = 0; k < kCopies; ++k) own[k] = n[k][l];
    FloatGridParts<kCopies>(settings, noise_unit, paired, cancel ? 0.0f : Widen(weights[l]), own,
                            part);
#pragma GCC unroll 4
    for (int k = 0; k < kCopies; ++k) StoreExact(part[k], out[k][l]);
  }
}

// False, with nothing done, where a weight is too large for this arithmetic or not finite.
template <int kCopies, class T>
ORCHARD_HD bool SplitOnFloatGrid(Split split, const SplitSettings<float>& settings, Philox2 key,
                                 const uint64_t* base, const T* weights, int lanes,
                                 T* const* parts) {
  const FloatGridSettings grid = MakeFloatGridSettings(settings);
  const T largest = {LargestMagnitude(weights, lanes)};
  if (!(Widen(largest) < grid.limit)) return false;
  int32_t room[kCopies][kNoiseRoom];
  const int32_t* noise[kCopies];
  T unwanted[kLanes];
  T* out[kCopies];
  for (int k = 0; k < kCopies; ++k) {
    out[k] = parts[k] ? parts[k] : unwanted;
    const bool paired = split == Split::kPairs;
    if (!paired || (k % 2 == 0 && k + 1 < kCopies)) {
      noise[k] = NoiseLanes(key, base[k], lanes, room[k]);
      continue;
    }
    for (int l = 0; l < lanes; ++l) room[k][l] = k % 2 == 1 ? -noise[k - 1][l] : 0;
    noise[k] = room[k];
  }
  if (split == Split::kPairs) {
    FloatGridRun<kCopies>(grid, settings.noise, true, false, weights, lanes, noise, out);
  } else if (split == Split::kCancel) {
    FloatGridRun<kCopies>(grid, settings.noise, false, true, weights, lanes, noise, out);
  } else {
    FloatGridRun<kCopies>(grid, settings.noise, false, false, weights, lanes, noise, out);
  }
  return true;
}

template <class T>
ORCHARD_HD bool SplitOnFloatGrid(Split split, const SplitSettings<float>& settings, Philox2 key,
                                 int copies, const uint64_t* base, const T* weights, int lanes,
                                 T* const* parts) {
  switch (copies) {
    case 2:
      return SplitOnFloatGrid<2>(split, settings, key, base, weights, lanes, parts);
    case 3:
      return SplitOnFloatGrid<3>(split, settings, key, base, weights, lanes, parts);
    case 4:
      return SplitOnFloatGrid<4>(split, settings, key, base, weights, lanes, parts);
    default:
      return false;
  }
}

template <class T>
ORCHARD_HD void Equal(int copies, const T* weights, int lanes, T* const* parts) {
  using Real = ComputeOf<T>;
  const Real inverse = Real(1) / static_cast<Real>(copies);
  T part[kLanes];
  for (int l = 0; l < lanes; ++l) part[l] = Narrow<T>(Widen(weights[l]) * inverse);
  for (int k = 0; k < copies; ++k) {
    if (parts[k]) memcpy(parts[k], part, static_cast<size_t>(lanes) * sizeof(T));
  }
}

template <class T>
ORCHARD_HD void SplitRun(Split split, const SplitSettings<ComputeOf<T>>& settings, Philox2 key,
                         int copies, const uint64_t* base, const T* weights, int lanes,
                         T* const* parts) {
  using Real = ComputeOf<T>;
  if (copies == 1 && split != Split::kCancel) {
    if (parts[0]) memcpy(parts[0], weights, static_cast<size_t>(lanes) * sizeof(T));
    return;
  }
  if (split == Split::kEqual) return Equal(copies, weights, lanes, parts);
  if constexpr (sizeof(T) == 2) {
    const bool on_grid = split == Split::kGrid || split == Split::kCancel || split == Split::kPairs;
    if (on_grid && SplitOnFloatGrid(split, settings, key, copies, base, weights, lanes, parts)) {
      return;
    }
  }
  Real widened[kLanes] = {};
  for (int l = 0; l < lanes; ++l) {
    widened[l] = split == Split::kCancel ? Real(0) : static_cast<Real>(Widen(weights[l]));
  }
  if (copies == 1) {
    for (int l = 0; l < lanes && parts[0]; ++l) parts[0][l] = Narrow<T>(widened[l]);
    return;
  }
  SplitWidened(split, settings, key, copies, base, widened, lanes, parts);
}

template <class T>
ORCHARD_HD void PadRun(ComputeOf<T> unit, Philox2 key, uint64_t base, int64_t count, T* values) {
  int32_t room[kNoiseRoom];
  for (int64_t at = 0; at < count; at += kLanes) {
    const int lanes = static_cast<int>(count - at < kLanes ? count - at : kLanes);
    const int32_t* noise = NoiseLanes(key, base + static_cast<uint64_t>(at), lanes, room);
    for (int l = 0; l < lanes; ++l) {
      values[at + l] = Narrow<T>(unit * static_cast<ComputeOf<T>>(noise[l]));
    }
  }
}

}  // namespace

// Clones are made of functions, not of templates.
// NOLINTBEGIN(bugprone-macro-parentheses): T is a type
#define ORCHARD_LANES_OF(T)                                                                   \
  template <>                                                                                 \
  ORCHARD_VECTOR_CLONES void SplitLanes<T>(                                                   \
      Split split, const SplitSettings<ComputeOf<T>>& settings, Philox2 key, int copies,      \
      const uint64_t* base, const T* weights, int lanes, T* const* parts) {                   \
    SplitRun(split, settings, key, copies, base, weights, lanes, parts);                      \
  }                                                                                           \
  template <>                                                                                 \
  ORCHARD_VECTOR_CLONES void PadLanes<T>(ComputeOf<T> noise_unit, Philox2 key, uint64_t base, \
                                         int64_t count, T * values) {                         \
    PadRun(noise_unit, key, base, count, values);                                             \
  }

ORCHARD_LANES_OF(BFloat16)
ORCHARD_LANES_OF(Float16)
ORCHARD_LANES_OF(float)
ORCHARD_LANES_OF(double)
#undef ORCHARD_LANES_OF
// NOLINTEND(bugprone-macro-parentheses)

ORCHARD_VECTOR_CLONES void WidenLanes(const BFloat16* stored, int64_t count, float* values) {
  for (int64_t i = 0; i < count; ++i) values[i] = Widen(stored[i]);
}

ORCHARD_VECTOR_CLONES void WidenLanes(const Float16* stored, int64_t count, float* values) {
  for (int64_t i = 0; i < count; ++i) values[i] = Widen(stored[i]);
}

ORCHARD_VECTOR_CLONES void NarrowLanes(const float* values, int64_t count, BFloat16* stored) {
  for (int64_t i = 0; i < count; ++i) stored[i] = Narrow<BFloat16>(values[i]);
}

ORCHARD_VECTOR_CLONES void NarrowLanes(const float* values, int64_t count, Float16* stored) {
  for (int64_t i = 0; i < count; ++i) stored[i] = Narrow<Float16>(values[i]);
}

template <>
ORCHARD_VECTOR_CLONES bool AllFinite(const BFloat16* values, int64_t count) {
  return LargestMagnitude(values, count) < 0x7F80u;
}

template <>
ORCHARD_VECTOR_CLONES bool AllFinite(const Float16* values, int64_t count) {
  return LargestMagnitude(values, count) < 0x7C00u;
}

template <>
ORCHARD_VECTOR_CLONES bool AllFinite(const float* values, int64_t count) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t magnitude = FloatBits(values[i]) & 0x7FFFFFFFu;
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest < 0x7F800000u;
}

template <>
ORCHARD_VECTOR_CLONES bool AllFinite(const double* values, int64_t count) {
  uint64_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint64_t bits;
    memcpy(&bits, values + i, sizeof bits);
    const uint64_t magnitude = bits & ~(uint64_t{1} << 63);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest < 0x7FF0000000000000u;
}

}  // namespace orchard::expand
