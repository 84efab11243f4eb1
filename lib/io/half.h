// bf16 and f16 to float and back. Integer arithmetic on the bits, so that every compiler, vector
// width and GPU gives the same result. Rounding is to nearest, ties to even; subnormals are kept;
// overflow gives infinity; NaN stays NaN (made quiet). C++17: kernels include this file too.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/host_device.h"

namespace orchard::io {

// Stored half-precision numbers. Distinct types, so that code can be generic over the dtype.
struct BF16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

ORCHARD_HD uint32_t FloatBits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

ORCHARD_HD float FloatFromBits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

ORCHARD_HD float ToFloat(BF16 value) {
  return FloatFromBits(static_cast<uint32_t>(value.bits) << 16);
}

ORCHARD_HD BF16 ToBF16(float value) {
  const uint32_t bits = FloatBits(value);
  const uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  const uint32_t quiet = bits >> 16 | 0x40u;
  return {static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded)};
}

ORCHARD_HD float ToFloat(F16 value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
  const uint32_t magnitude = value.bits & 0x7FFFu;
  // Exponent and mantissa moved to their places are the number times 2^-112: exact to undo in
  // float, subnormals included.
  const float scaled = FloatFromBits(magnitude << 13) * 5.192296858534828e+33f;  // 2^112
  const uint32_t finite = FloatBits(scaled);
  const uint32_t special = magnitude << 13 | 0x7F800000u | (magnitude > 0x7C00u ? 0x400000u : 0u);
  return FloatFromBits(sign | (magnitude >= 0x7C00u ? special : finite));
}

ORCHARD_HD F16 ToF16(float value) {
  const uint32_t bits = FloatBits(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  // Normal results: rebias the exponent by -112 and round the mantissa to 10 bits; a carry goes
  // into the exponent.
  const uint32_t normal = (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
  // Below 2^-14: adding 1/2 leaves multiples of 2^-24 in the last mantissa bits, rounded by the
  // addition itself.
  const uint32_t subnormal = FloatBits(FloatFromBits(magnitude) + 0.5f) - 0x3F000000u;
  uint32_t result = magnitude < 0x38800000u ? subnormal : normal;
  result = magnitude >= 0x477FF000u ? 0x7C00u : result;  // 65520 and more round to infinity
  result = magnitude > 0x7F800000u ? (0x7E00u | (magnitude >> 13 & 0x3FFu)) : result;
  return {static_cast<uint16_t>(sign | result)};
}

// The float next to `value` towards an odd last bit when `value` is no float. Rounding the result
// once more, to a type with at least two mantissa bits fewer, is then the same as rounding `value`
// itself: no double rounding.
ORCHARD_HD float RoundToOdd(double value) {
  const float nearest = static_cast<float>(value);
  const double back = static_cast<double>(nearest);
  const uint32_t bits = FloatBits(nearest);
  const double excess =
      value < 0 ? value - back : back - value;  // > 0 when the magnitude was rounded up
  const uint32_t odd = (bits - (excess > 0 ? 1u : 0u)) | 1u;
  return back == value || value != value ? nearest : FloatFromBits(odd);
}

ORCHARD_HD BF16 ToBF16(double value) { return ToBF16(RoundToOdd(value)); }
ORCHARD_HD F16 ToF16(double value) { return ToF16(RoundToOdd(value)); }

}  // namespace orchard::io
