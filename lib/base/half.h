// The float types that tensors are stored in, and their conversion to the type that arithmetic runs
// in: float for bf16, f16 and f32, double for f64. Conversions round to nearest even, keep
// subnormals, infinities and NaN, and give the same bits on the CPU (any vector width) and on the
// GPU.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/host_device.h"
#if defined(__CUDACC__)
#include <cuda_fp16.h>
#endif

namespace orchard {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

// The type of a buffer that is passed as `void*`.
enum class FloatType { kF16, kBF16, kF32, kF64 };

constexpr int64_t ByteSize(FloatType type) {
  return type == FloatType::kF64 ? 8 : type == FloatType::kF32 ? 4 : 2;
}

ORCHARD_HD uint32_t FloatBits(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

ORCHARD_HD float FloatOfBits(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

// By reference: compilers vectorise a load of the bits, but not one of the struct.
ORCHARD_HD float Widen(const BFloat16& value) {
  return FloatOfBits(static_cast<uint32_t>(value.bits) << 16);
}

ORCHARD_HD float Widen(const Float16& value) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(value.bits));
#else
  // The half's exponent and mantissa, read as those of a float, are too small by 2^112; the product
  // is exact, also for subnormals.
  const uint32_t magnitude = static_cast<uint32_t>(value.bits & 0x7FFFu) << 13;
  const uint32_t scaled = FloatBits(FloatOfBits(magnitude) * 0x1p112f);
  const uint32_t finite = magnitude < 0x0F800000u ? scaled : (magnitude | 0x7F800000u);
  return FloatOfBits(finite | static_cast<uint32_t>(value.bits & 0x8000u) << 16);
#endif
}

ORCHARD_HD float Widen(float value) { return value; }
ORCHARD_HD double Widen(double value) { return value; }

namespace half_detail {

ORCHARD_HD BFloat16 ToBFloat16(float value) {
  const uint32_t bits = FloatBits(value);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  return {static_cast<uint16_t>(is_nan ? (bits >> 16 | 0x40u) : rounded)};
}

ORCHARD_HD Float16 ToFloat16(float value) {
#if defined(__CUDA_ARCH__)
  return {__half_as_ushort(__float2half_rn(value))};
#else
  const uint32_t bits = FloatBits(value);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  // Normal halves: shift the exponent by 15 - 127, round at bit 13; a carry out of the largest half
  // gives infinity.
  const uint32_t normal = (magnitude + 0xC8000FFFu + ((magnitude >> 13) & 1u)) >> 13;
  // Subnormal halves: one ulp of 0.5f is the smallest half, so the addition rounds at the right
  // place.
  const uint32_t subnormal = FloatBits(FloatOfBits(magnitude) + 0.5f) - FloatBits(0.5f);
  const uint32_t beyond = magnitude > 0x7F800000u ? 0x7E00u : 0x7C00u;
  const uint32_t half = magnitude >= 0x47800000u  ? beyond
                        : magnitude < 0x38800000u ? subnormal
                                                  : normal;
  return {static_cast<uint16_t>(half | (bits >> 16 & 0x8000u))};
#endif
}

template <class T>
struct Stored {
  static constexpr FloatType kType = FloatType::kF32;
  using Compute = float;
  static ORCHARD_HD T Narrow(float value) { return value; }
};
template <>
struct Stored<double> {
  static constexpr FloatType kType = FloatType::kF64;
  using Compute = double;
  static ORCHARD_HD double Narrow(double value) { return value; }
};
template <>
struct Stored<BFloat16> {
  static constexpr FloatType kType = FloatType::kBF16;
  using Compute = float;
  static ORCHARD_HD BFloat16 Narrow(float value) { return ToBFloat16(value); }
};
template <>
struct Stored<Float16> {
  static constexpr FloatType kType = FloatType::kF16;
  using Compute = float;
  static ORCHARD_HD Float16 Narrow(float value) { return ToFloat16(value); }
};

}  // namespace half_detail

// float, or double for double.
template <class T>
using ComputeOf = typename half_detail::Stored<T>::Compute;

template <class T>
inline constexpr FloatType kFloatTypeOf = half_detail::Stored<T>::kType;

// Rounds to the stored type T.
template <class T>
ORCHARD_HD T Narrow(ComputeOf<T> value) {
  return half_detail::Stored<T>::Narrow(value);
}

// The float next to `value` whose last bit is odd, or `value` itself where that is a float.
// Rounding the result once more, to bf16 or f16, gives what rounding `value` directly would:
// `Narrow<BFloat16>(RoundToOdd(x))` does not round twice.
ORCHARD_HD float RoundToOdd(double value) {
  const float nearest = static_cast<float>(value);
  const double back = static_cast<double>(nearest);
  const uint32_t away = (value < 0 ? back < value : back > value) ? 1u : 0u;
  const uint32_t odd = (FloatBits(nearest) - away) | 1u;
  return back == value || value != value ? nearest : FloatOfBits(odd);
}

// Calls function(T{}) with the C++ type of `type`: DispatchFloat(type, [&](auto tag) { using T =
// decltype(tag); ... }).
template <class Function>
auto DispatchFloat(FloatType type, Function&& function) {
  switch (type) {
    case FloatType::kF16:
      return function(Float16{});
    case FloatType::kBF16:
      return function(BFloat16{});
    case FloatType::kF32:
      return function(float{});
    case FloatType::kF64:
      break;
  }
  return function(double{});
}

}  // namespace orchard
