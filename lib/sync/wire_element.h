// How numbers are rounded for narrow messages, one element at a time; for kernels on the GPU and
// their twins on the CPU.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/half.h"
#include "base/host_device.h"

namespace orchard::sync {

// Elements of an int8 message that share a unit.
inline constexpr int64_t kWireBlock = 1024;
// The exponent of a block that holds an infinity or NaN: its values arrive as NaN.
inline constexpr int8_t kWireNotFinite = 127;
inline constexpr int kWireSmallest = -120, kWireLargest = 120;

// 2^exponent; NaN for kWireNotFinite and its opposite.
ORCHARD_HD float WireUnit(int exponent) {
  if (exponent >= kWireNotFinite || exponent <= -kWireNotFinite) return FloatOfBits(0x7FC00000u);
  return FloatOfBits(static_cast<uint32_t>(exponent + 127) << 23);
}

// The larger of a magnitude and that of a value; NaN once one of them is NaN or infinite.
template <class C>
ORCHARD_HD C LargerMagnitude(C largest, C value) {
  const C magnitude = value < C(0) ? -value : value;
  const C finite = magnitude - magnitude;  // 0, or NaN
  return magnitude > largest ? magnitude + finite : largest + finite;
}

// The smallest exponent k with 127 2^k >= largest, within its range; kWireNotFinite for NaN.
ORCHARD_HD int8_t WireExponent(double largest) {
  if (!(largest == largest)) return kWireNotFinite;
  int exponent = kWireSmallest;
  while (exponent < kWireLargest && 127.0 * static_cast<double>(WireUnit(exponent)) < largest) {
    ++exponent;
  }
  return static_cast<int8_t>(exponent);
}

// The code of a value in units of 1/inverse, rounded up with the probability of its fraction:
// `uniform` is in [0, 1).
template <class C>
ORCHARD_HD int8_t WireCode(C value, C inverse, float uniform) {
  const C scaled = value * inverse + static_cast<C>(uniform);
  C code = std::floor(scaled);
  code = code > C(127) ? C(127) : code < C(-127) ? C(-127) : code;
  return code == code ? static_cast<int8_t>(code) : int8_t{0};
}

// The 16-bit number that is sent for a value: the nearest, but never an infinity for a finite one,
// so that what it leaves out is finite, too.
template <class Half>
ORCHARD_HD Half WireHalf(float value) {
  return Narrow<Half>(value);
}
template <>
ORCHARD_HD Float16 WireHalf<Float16>(float value) {
  const float limit = 65504.0f;
  return Narrow<Float16>(value > limit ? limit : value < -limit ? -limit : value);
}

// The code that is sent for a value; returns what it leaves out.
template <class C, class Half>
ORCHARD_HD C SplitHalf(C value, Half& code) {
  code = WireHalf<Half>(static_cast<float>(value));
  return value - static_cast<C>(Widen(code));
}

template <class C>
ORCHARD_HD C JoinInt8(int8_t code, int exponent) {
  return static_cast<C>(code) * static_cast<C>(WireUnit(exponent));
}

template <class C>
ORCHARD_HD C SplitInt8(C value, int exponent, float uniform, int8_t& code) {
  code = WireCode(value, static_cast<C>(WireUnit(-exponent)), uniform);
  return value - JoinInt8<C>(code, exponent);
}

}  // namespace orchard::sync
