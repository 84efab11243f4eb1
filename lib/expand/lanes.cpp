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

// The noise of copy k of every lane: `CopyNoise` of each.
ORCHARD_HD void FillCopyNoise(Split split, Philox2 key, int copies, int k, const uint64_t* base,
                              int lanes, int32_t* noise) {
  int32_t* own = noise + k * kLanes;
  if (split != Split::kPairs || (k % 2 == 0 && k + 1 < copies)) {
    NoiseLanes(key, base[k], lanes, own);
  } else if (k % 2 == 1) {
    for (int l = 0; l < lanes; ++l) own[l] = -own[l - kLanes];
  } else {
    for (int l = 0; l < lanes; ++l) own[l] = 0;
  }
}

template <class Real>
ORCHARD_HD void Equal(int copies, const Real* weights, int lanes, Real* const* parts) {
  const Real inverse = Real(1) / static_cast<Real>(copies);
  for (int k = 0; k < copies; ++k) {
    if (!parts[k]) continue;
    for (int l = 0; l < lanes; ++l) parts[k][l] = weights[l] * inverse;
  }
}

template <class Real>
ORCHARD_HD void Complement(Real unit, int copies, const Real* weights, int lanes,
                           const int32_t* noise, const int32_t* sum, Real* const* parts) {
  for (int k = 0; k < copies; ++k) {
    if (!parts[k]) continue;
    const int32_t* own = noise + k * kLanes;
    for (int l = 0; l < lanes; ++l) {
      parts[k][l] = k == 0 ? weights[l] - unit * static_cast<Real>(sum[l] - own[l])
                           : unit * static_cast<Real>(own[l]);
    }
  }
}

template <class Real>
ORCHARD_HD void Projection(Real unit, int copies, const Real* weights, int lanes,
                           const int32_t* noise, const int32_t* sum, Real* const* parts) {
  const Real inverse = Real(1) / static_cast<Real>(copies);
  for (int k = 0; k < copies; ++k) {
    if (!parts[k]) continue;
    const int32_t* own = noise + k * kLanes;
    for (int l = 0; l < lanes; ++l) {
      parts[k][l] = ProjectedPart(unit, own[l], sum[l], inverse, copies, weights[l]);
    }
  }
}

template <bool kPaired, class Real>
ORCHARD_HD void Grid(const SplitSettings<Real>& settings, int copies, const Real* weights,
                     int lanes, const int32_t* noise, const int32_t* sum, Real* const* parts) {
  using Int = typename RealTraits<Real>::Int;
  const Real inverse = Real(1) / static_cast<Real>(copies);
  Int rest[kLanes];
  for (int l = 0; l < lanes; ++l) {
    rest[l] = ToGrid(MakeGridUnit(settings.grid, weights[l], settings.zero_exponent), weights[l]);
  }
  for (int k = 0; k < copies; ++k) {
    const int32_t* own = noise + k * kLanes;
    Real unwanted[kLanes];
    Real* out = parts[k] ? parts[k] : unwanted;
    for (int l = 0; l < lanes; ++l) {
      const GridUnit<Real> unit = MakeGridUnit(settings.grid, weights[l], settings.zero_exponent);
      Real target = ProjectedPart(settings.noise, own[l], sum[l], inverse, copies, weights[l]);
      if constexpr (kPaired) target = PairedTarget(unit, target, weights[l] * inverse);
      const Int part = GridPart(unit, target, rest[l], copies - 1 - k);
      rest[l] -= part;
      out[l] = FromGrid(unit, part);
    }
  }
}

template <class Real>
ORCHARD_HD void SplitRun(Split split, const SplitSettings<Real>& settings, Philox2 key, int copies,
                         const uint64_t* base, const Real* weights, int lanes, Real* const* parts) {
  Real zeros[kLanes];
  if (split == Split::kCancel) {
    for (int l = 0; l < lanes; ++l) zeros[l] = Real(0);
    weights = zeros;
  }
  if (split == Split::kEqual) return Equal(copies, weights, lanes, parts);
  if (copies == 1) {
    if (parts[0]) memcpy(parts[0], weights, static_cast<size_t>(lanes) * sizeof(Real));
    return;
  }
  int32_t noise[kMaxCopies * kLanes], sum[kLanes];
  for (int l = 0; l < lanes; ++l) sum[l] = 0;
  for (int k = 0; k < copies; ++k) {
    FillCopyNoise(split, key, copies, k, base, lanes, noise);
    for (int l = 0; l < lanes; ++l) sum[l] += noise[k * kLanes + l];
  }
  if (!AllFinite(weights,
                 lanes)) {  // such values have no parts: every copy keeps them, as in SplitElement
    for (int k = 0; k < copies; ++k) {
      for (int l = 0; parts[k] && l < lanes; ++l) {
        uint64_t index[kMaxCopies];
        for (int c = 0; c < copies; ++c) index[c] = base[c] + static_cast<uint64_t>(l);
        parts[k][l] = SplitElement(split, settings, key, copies, k, index, weights[l]);
      }
    }
    return;
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

template <class Real>
ORCHARD_HD void PadRunOf(Real unit, Philox2 key, uint64_t base, int lanes, Real* values) {
  int32_t noise[kLanes];
  NoiseLanes(key, base, lanes, noise);
  for (int l = 0; l < lanes; ++l) values[l] = unit * static_cast<Real>(noise[l]);
}

}  // namespace

ORCHARD_VECTOR_CLONES void SplitLanes(Split split, const SplitSettings<float>& settings,
                                      Philox2 key, int copies, const uint64_t* base,
                                      const float* weights, int lanes, float* const* parts) {
  SplitRun(split, settings, key, copies, base, weights, lanes, parts);
}

ORCHARD_VECTOR_CLONES void SplitLanes(Split split, const SplitSettings<double>& settings,
                                      Philox2 key, int copies, const uint64_t* base,
                                      const double* weights, int lanes, double* const* parts) {
  SplitRun(split, settings, key, copies, base, weights, lanes, parts);
}

ORCHARD_VECTOR_CLONES void PadLanes(float noise_unit, Philox2 key, uint64_t base, int lanes,
                                    float* values) {
  PadRunOf(noise_unit, key, base, lanes, values);
}

ORCHARD_VECTOR_CLONES void PadLanes(double noise_unit, Philox2 key, uint64_t base, int lanes,
                                    double* values) {
  PadRunOf(noise_unit, key, base, lanes, values);
}

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

ORCHARD_VECTOR_CLONES bool AllFinite(const float* values, int64_t count) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t magnitude = FloatBits(values[i]) & 0x7FFFFFFFu;
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest < 0x7F800000u;
}

bool AllFinite(const double* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) return false;
  }
  return true;
}

}  // namespace orchard::expand
