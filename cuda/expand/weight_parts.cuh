// The parts of one source weight, and what every kernel of EXPAND-LINEAR is given.
#pragma once

#include "cuda/expand/expand_matrix.h"

namespace orchard::cuda {

using expand::ExpandMatrixArgs;
using expand::FloatGridSettings;
using expand::MatrixLayout;
using expand::Split;
using expand::SplitSettings;
using expand::UnitRange;
using expand::WeightNoise;

constexpr int kThreads = 256;  // of a block of any of the kernels

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

}  // namespace orchard::cuda
