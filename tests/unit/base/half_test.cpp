#include "base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace orchard {
namespace {

// The value of a 16-bit float from its definition: sign, exponent, mantissa.
double Defined(uint16_t bits, int mantissa_bits, int bias) {
  const int exponent_bits = 15 - mantissa_bits;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

TEST(Half, WidensEveryValueExactly) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const uint16_t b = static_cast<uint16_t>(bits);
    const double f16 = Defined(b, 10, 15), bf16 = Defined(b, 7, 127);
    if (std::isnan(f16)) {
      EXPECT_TRUE(std::isnan(Widen(Float16{b})));
    } else {
      EXPECT_EQ(Widen(Float16{b}), f16) << bits;
    }
    if (std::isnan(bf16)) {
      EXPECT_TRUE(std::isnan(Widen(BFloat16{b})));
    } else {
      EXPECT_EQ(Widen(BFloat16{b}), bf16) << bits;
    }
  }
}

template <class T>
void ExpectNearestEven(T low) {
  const T high{static_cast<uint16_t>(low.bits + 1)};
  const float a = Widen(low), b = Widen(high);
  if (!std::isfinite(a) || !std::isfinite(b)) return;
  const float middle = static_cast<float>((static_cast<double>(a) + b) / 2);
  const uint16_t even = low.bits & 1 ? high.bits : low.bits;
  EXPECT_EQ(Narrow<T>(a).bits, low.bits);
  EXPECT_EQ(Narrow<T>(middle).bits, even) << low.bits;
  EXPECT_EQ(Narrow<T>(std::nextafterf(middle, a)).bits, low.bits) << low.bits;
  EXPECT_EQ(Narrow<T>(std::nextafterf(middle, b)).bits, high.bits) << low.bits;
}

TEST(Half, NarrowsToNearestEvenBetweenAllNeighbours) {
  for (uint32_t bits = 0; bits < 0x7FFF; ++bits) {
    for (uint32_t sign : {0u, 0x8000u}) {
      ExpectNearestEven(Float16{static_cast<uint16_t>(bits | sign)});
      ExpectNearestEven(BFloat16{static_cast<uint16_t>(bits | sign)});
    }
  }
}

TEST(Half, KeepsInfinityAndNaNAndOverflowsToInfinity) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Narrow<Float16>(inf).bits, 0x7C00);
  EXPECT_EQ(Narrow<Float16>(-inf).bits, 0xFC00);
  EXPECT_EQ(Narrow<Float16>(65519.996f).bits, 0x7BFF);
  EXPECT_EQ(Narrow<Float16>(65520.0f).bits, 0x7C00);
  EXPECT_EQ(Narrow<Float16>(1e30f).bits, 0x7C00);
  EXPECT_EQ(Narrow<BFloat16>(inf).bits, 0x7F80);
  EXPECT_EQ(Narrow<BFloat16>(std::numeric_limits<float>::max()).bits, 0x7F80);
  EXPECT_TRUE(std::isnan(Widen(Narrow<Float16>(NAN))));
  EXPECT_TRUE(std::isnan(Widen(Narrow<BFloat16>(FloatOfBits(0x7F800001u)))));
}

}  // namespace
}  // namespace orchard
