// The arithmetic of one element of an expanded matrix, shared by the CPU loops (expand/lanes.h) and
// the CUDA kernel.
//
// A source weight w is divided over its `copies` target columns. Copy k draws a near-normal integer
// n_k (expand/weight_noise.h) at the flat index of its own target element, so every element can be
// computed alone, in any order, by any thread. The value aimed at is
//
//     a_k = s n_k - (s sum(n) - w) / copies       the noise projected onto {parts that sum to w}
//     (LEMON, app. B)
//
// `grid` then snaps the parts to the storage grid of w, so that the stored numbers sum to w exactly
// (docs/methods/lemon-expand.md, "The grid split"). Only + - * and comparisons are used, never
// contracted, so that CPU and GPU give the same bits.
//
// C++17: included by .cu files.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "base/host_device.h"
#include "expand/weight_noise.h"

namespace orchard::expand {

// How a weight is divided over the copies of its input.
enum class Split : uint8_t {
  kGrid,        // projection, snapped so that the stored parts sum exactly (default)
  kProjection,  // random parts, rounded to storage
  kComplement,  // all but the first copy are pure noise; the first takes the rest
  kEqual,       // w / copies: no symmetry breaking
  kCancel,      // as grid, with w := 0: the parts cancel (new layers, depth type `cancel`)
  kPairs        // as grid, but copies 2k and 2k + 1 get opposite noise and an odd last one none
};

// More copies of one unit than this would overflow the integers below.
constexpr int32_t kMaxCopies = 64;

// A storage format as a grid: significand bits (hidden one included), exponent of the smallest
// subnormal, and of the spacing below the largest finite number.
struct GridFormat {
  int32_t precision;
  int32_t min_exponent;
  int32_t max_exponent;
};
constexpr GridFormat kGridBf16 = {8, -133, 120};
constexpr GridFormat kGridF16 = {11, -24, 5};
constexpr GridFormat kGridF32 = {24, -149, 104};
constexpr GridFormat kGridF64 = {53, -1074, 971};

template <class T>
constexpr GridFormat GridOf() {
  switch (kFloatTypeOf<T>) {
    case FloatType::kBF16:
      return kGridBf16;
    case FloatType::kF16:
      return kGridF16;
    case FloatType::kF32:
      return kGridF32;
    case FloatType::kF64:
      break;
  }
  return kGridF64;
}

// The arithmetic of a storage format is done in float (bf16, f16, f32) or double (f64).
template <class Real>
struct RealTraits;

template <>
struct RealTraits<float> {
  using Int = int32_t;
  // 2^q for q in [-126, 127].
  static ORCHARD_HD float PowerOfTwo(int32_t q) {
    const uint32_t bits = static_cast<uint32_t>(q + 127) << 23;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
  }
  // floor(log2 |w|); -127 for zero and subnormals, 128 for what is not finite.
  static ORCHARD_HD int32_t Exponent(float w) {
    uint32_t bits;
    memcpy(&bits, &w, sizeof bits);
    return static_cast<int32_t>((bits >> 23) & 0xFFu) - 127;
  }
  // Ties to even.
  static ORCHARD_HD float NearestInteger(float x) { return rintf(x); }
};

template <>
struct RealTraits<double> {
  using Int = int64_t;
  static ORCHARD_HD double PowerOfTwo(int32_t q) {
    const uint64_t bits = static_cast<uint64_t>(q + 1023) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
  }
  static ORCHARD_HD int32_t Exponent(double w) {
    uint64_t bits;
    memcpy(&bits, &w, sizeof bits);
    return static_cast<int32_t>((bits >> 52) & 0x7FFu) - 1023;
  }
  static ORCHARD_HD double NearestInteger(double x) { return rint(x); }
};

// What is the same for a whole tensor.
template <class Real>
struct SplitSettings {
  GridFormat grid;
  Real noise;             // value of one unit of the noise integer: sigma * kWeightNoiseUnit
  int32_t zero_exponent;  // grid exponent where w = 0
};

// Settings for noise of standard deviation `sigma` >= 0. Where w = 0 there is no spacing to keep
// to; 8 times that of sigma makes the largest part at least 8 sigma, so that the noise is never
// clipped: |n| <= 3.46 sigma, and less than twice that once the mean of the copies is taken off.
template <class Real>
inline SplitSettings<Real> MakeSplitSettings(const GridFormat& grid, double sigma) {
  const int exponent = sigma > 0 ? std::ilogb(sigma) : -126;
  return {grid, static_cast<Real>(sigma * kWeightNoiseUnit), exponent + 3 - (grid.precision - 1)};
}

// The grid of one weight: spacing u = 2^exponent, kept as two factors that are always normal
// numbers.
template <class Real>
struct GridUnit {
  Real to_integer_a, to_integer_b;      // product 1 / u
  Real from_integer_a, from_integer_b;  // product u
  typename RealTraits<Real>::Int cap;   // largest |part / u|
};

template <class Real>
ORCHARD_HD int32_t GridExponent(const GridFormat& grid, Real w, int32_t zero_exponent) {
  const int32_t own = RealTraits<Real>::Exponent(w) - (grid.precision - 1);
  const int32_t q = w == Real(0) ? zero_exponent : own;
  return q < grid.min_exponent ? grid.min_exponent : q;
}

template <class Real>
ORCHARD_HD GridUnit<Real> MakeGridUnit(const GridFormat& grid, Real w, int32_t zero_exponent) {
  using Int = typename RealTraits<Real>::Int;
  const int32_t q = GridExponent(grid, w, zero_exponent);
  const int32_t a = q / 2, b = q - a;
  GridUnit<Real> unit;
  unit.to_integer_a = RealTraits<Real>::PowerOfTwo(-a);
  unit.to_integer_b = RealTraits<Real>::PowerOfTwo(-b);
  unit.from_integer_a = RealTraits<Real>::PowerOfTwo(a);
  unit.from_integer_b = RealTraits<Real>::PowerOfTwo(b);
  // 2^p u is itself a storage number, except for the largest exponent.
  unit.cap = (Int(1) << grid.precision) - (q >= grid.max_exponent ? 1 : 0);
  return unit;
}

template <class Real>
ORCHARD_HD typename RealTraits<Real>::Int ToGrid(const GridUnit<Real>& unit, Real w) {
  return static_cast<typename RealTraits<Real>::Int>((w * unit.to_integer_a) * unit.to_integer_b);
}

template <class Real>
ORCHARD_HD Real FromGrid(const GridUnit<Real>& unit, typename RealTraits<Real>::Int n) {
  return (static_cast<Real>(n) * unit.from_integer_a) * unit.from_integer_b;
}

// a_k: `noise` is that of this copy, `noise_sum` that of all copies (integers: exact, whatever the
// order).
template <class Real>
ORCHARD_HD Real ProjectedPart(Real noise_unit, int32_t noise, int32_t noise_sum,
                              Real inverse_copies, int32_t copies, Real w) {
  const Real centred = static_cast<Real>(copies * noise - noise_sum);
  const Real deviation = (noise_unit * inverse_copies) * centred;
  const Real share = w * inverse_copies;
  return deviation + share;
}

// The noise integer of copy k of a weight whose copies stand at `index`.
ORCHARD_HD int32_t CopyNoise(Split split, Philox2 key, int32_t copies, int32_t k,
                             const uint64_t* index) {
  if (split != Split::kPairs) return WeightNoise(key, index[k]);
  const int32_t first = k - k % 2;
  if (first + 1 == copies) return 0;
  const int32_t noise = WeightNoise(key, index[first]);
  return k == first ? noise : -noise;
}

// The part of a copy on the grid: the integer nearest to target / u (the even one of two) that
// leaves the `after` copies
// behind it able to make up the `rest`. With after = 0 it is the rest itself.
//
// The result is within the cap without being clamped to it again: the nearest integer is, because
// `scaled` is, and |rest| is at most (after + 1) caps. (A clamp to -cap would also be wrong on
// Hopper: ptxas 13.0.88 fuses max(max(a, -b), c) into one VIMNMX3 and loses the sign of b.)
template <class Real>
ORCHARD_HD typename RealTraits<Real>::Int GridPart(const GridUnit<Real>& unit, Real target,
                                                   typename RealTraits<Real>::Int rest,
                                                   int32_t after) {
  using Int = typename RealTraits<Real>::Int;
  const Int room = static_cast<Int>(after) * unit.cap;
  const Int low = rest - room, high = rest + room;
  Real scaled = (target * unit.to_integer_a) * unit.to_integer_b;
  const Real bound = static_cast<Real>(unit.cap);
  scaled = scaled < -bound ? -bound : scaled;
  scaled = scaled > bound ? bound : scaled;
  const Int nearest = static_cast<Int>(RealTraits<Real>::NearestInteger(scaled));
  const Int raised = nearest < low ? low : nearest;
  return raised > high ? high : raised;
}

// The target of one of a pair, no further from the weight's share than the storage grid lets both
// of the pair go: their noise must stay opposite.
template <class Real>
ORCHARD_HD Real PairedTarget(const GridUnit<Real>& unit, Real target, Real share) {
  const Real room = FromGrid(unit, unit.cap) - (share < Real(0) ? -share : share);
  const Real low = share - room, high = share + room;
  const Real raised = target < low ? low : target;
  return raised > high ? high : raised;
}

// ---- formats of at most 11 bits, without integers
//
// A part of a bf16 or f16 weight is a small multiple of u, which a float holds exactly, like the
// sums above: the grid needs no conversion to integers, and the loops over it run in vectors (and
// on a GPU beside the integer units, which draw the noise). Adding and subtracting 1.5 * 2^23 u
// rounds to the nearest multiple of u, ties to even. Same values as `GridPart`.

// One instruction each, on every processor; none of them meets a NaN here.
ORCHARD_HD float LesserOf(float a, float b) {
#if defined(__CUDA_ARCH__)
  return fminf(a, b);
#else
  return a < b ? a : b;
#endif
}
ORCHARD_HD float GreaterOf(float a, float b) {
#if defined(__CUDA_ARCH__)
  return fmaxf(a, b);
#else
  return a > b ? a : b;
#endif
}

struct FloatGrid {
  float cap;    // largest |part|: 2^p u
  float shift;  // 1.5 * 2^23 u
};

// What is the same for a whole tensor of such a format.
struct FloatGridSettings {
  uint32_t least;      // bits of 2^(smallest exponent of a normal number)
  uint32_t zero;       // bits of 2^(exponent that stands in where w = 0)
  float shift_factor;  // shift / 2^exponent
  float limit;         // |w| has to be smaller: beyond, 2^p u or the shift would be no number
};

ORCHARD_HD bool HasFloatGrid(const GridFormat& grid) { return grid.precision <= 11; }

// Where the stand-in for w = 0 lies beyond the limit, no weight is below it.
ORCHARD_HD FloatGridSettings MakeFloatGridSettings(const SplitSettings<float>& settings) {
  const GridFormat& grid = settings.grid;
  const int32_t steps = grid.precision - 1;
  const int32_t shift = 23 - steps;
  const int32_t top = grid.max_exponent + steps;
  const int32_t limit = top < 127 - shift ? top : 127 - shift;
  const int32_t least = grid.min_exponent + steps;
  int32_t zero = settings.zero_exponent + steps;
  zero = zero < least ? least : zero;
  const bool usable = zero < limit;
  FloatGridSettings result;
  result.least = static_cast<uint32_t>(least + 127) << 23;
  result.zero = static_cast<uint32_t>((usable ? zero : least) + 127) << 23;
  result.shift_factor = 1.5f * RealTraits<float>::PowerOfTwo(shift);
  result.limit = usable ? RealTraits<float>::PowerOfTwo(limit) : 0.0f;
  return result;
}

ORCHARD_HD FloatGrid MakeFloatGrid(const FloatGridSettings& settings, float w) {
  const uint32_t own = FloatBits(w) & 0x7F800000u;
  const uint32_t bits = w == 0.0f ? settings.zero : own;
  const float power = FloatOfBits(bits < settings.least ? settings.least : bits);
  return {power * 2.0f, power * settings.shift_factor};
}

// The parts of one weight, |w| < settings.limit, for copies whose noise is `noise`. `paired`: that
// of kPairs. kCopies >= 2.
template <int kCopies>
ORCHARD_HD void FloatGridParts(const FloatGridSettings& settings, float noise_unit, bool paired,
                               float w, const int32_t* noise, float* parts) {
  constexpr float kInverse = 1.0f / static_cast<float>(kCopies);
  w += 0.0f;  // -0 has the parts of 0
  const FloatGrid grid = MakeFloatGrid(settings, w);
  const float share = w * kInverse;
  const float unit = noise_unit * kInverse;
  const float pair_room = grid.cap - fabsf(share);
  if (kCopies == 2) {
    // Both parts stay below the cap when the first is no further than this from w / 2.
    const float deviation = unit * static_cast<float>(noise[0] - noise[1]);
    const float bounded = LesserOf(GreaterOf(deviation, -pair_room), pair_room);
    const float target = share + bounded;
    parts[0] = (target + grid.shift) - grid.shift;
    parts[1] = w - parts[0];
    return;
  }
  int32_t sum = 0;
  for (int k = 0; k < kCopies; ++k) sum += noise[k];
  float rest = w;
  for (int k = 0; k + 1 < kCopies; ++k) {
    float target = unit * static_cast<float>(kCopies * noise[k] - sum) + share;
    if (paired) {
      target = LesserOf(GreaterOf(target, share - pair_room), share + pair_room);
    }
    const float room = grid.cap * static_cast<float>(kCopies - 1 - k);
    const float low = GreaterOf(rest - room, -grid.cap);
    const float high = LesserOf(rest + room, grid.cap);
    target = LesserOf(GreaterOf(target, low), high);
    parts[k] = (target + grid.shift) - grid.shift;
    rest -= parts[k];
  }
  parts[kCopies - 1] = rest;
}

// One element alone: the part of copy `rank` of weight `w` (already rounded to storage). `index[k]`
// is the flat index of copy k's element in the target tensor. Rounding to storage is the caller's;
// for grid and cancel the value is a storage number already.
template <class Real>
ORCHARD_HD Real SplitElement(Split split, const SplitSettings<Real>& settings, Philox2 key,
                             int32_t copies, int32_t rank, const uint64_t* index, Real w) {
  if (split == Split::kCancel) w = Real(0);
  if (!(w - w == Real(0))) return w;  // NaN and infinity stay what they are
  const Real inverse = Real(1) / static_cast<Real>(copies);
  if (split == Split::kEqual) return w * inverse;
  if (copies == 1) return w;
  int32_t sum = 0;
  for (int32_t k = 0; k < copies; ++k) sum += CopyNoise(split, key, copies, k, index);
  if (split == Split::kProjection) {
    const int32_t noise = WeightNoise(key, index[rank]);
    return ProjectedPart(settings.noise, noise, sum, inverse, copies, w);
  }
  if (split == Split::kComplement) {
    if (rank > 0) {
      return settings.noise * static_cast<Real>(WeightNoise(key, index[rank]));
    }
    const int32_t others = sum - WeightNoise(key, index[0]);
    return w - settings.noise * static_cast<Real>(others);
  }
  const GridUnit<Real> unit = MakeGridUnit(settings.grid, w, settings.zero_exponent);
  typename RealTraits<Real>::Int rest = ToGrid(unit, w), part = 0;
  for (int32_t k = 0; k <= rank; ++k) {
    const int32_t noise = CopyNoise(split, key, copies, k, index);
    Real target = ProjectedPart(settings.noise, noise, sum, inverse, copies, w);
    if (split == Split::kPairs) target = PairedTarget(unit, target, w * inverse);
    part = GridPart(unit, target, rest, copies - 1 - k);
    rest -= part;
  }
  return FromGrid(unit, part);
}

// A column that reads padding which is zero: pure noise.
template <class Real>
ORCHARD_HD Real PadElement(Real noise_unit, Philox2 key, uint64_t index) {
  return noise_unit * static_cast<Real>(WeightNoise(key, index));
}

// A column that reads padding which is the mean of the input: noise whose sum over the `pads`
// columns of the row is zero.
template <class Real>
ORCHARD_HD Real CentredPadElement(Real noise_unit, int32_t noise, int64_t noise_sum, int64_t pads) {
  const int64_t centred = pads * noise - noise_sum;
  return (noise_unit * static_cast<Real>(centred)) / static_cast<Real>(pads);
}

}  // namespace orchard::expand
