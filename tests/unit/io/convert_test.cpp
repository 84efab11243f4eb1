#include "io/convert.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"

namespace orchard::io {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// The value of a stored number from the definition of the format: `mantissa` bits, exponent bias
// `bias`.
double Value(uint16_t bits, int mantissa, int bias) {
  const int exponent = (bits & 0x7FFF) >> mantissa, fraction = bits & ((1 << mantissa) - 1);
  const int top = (0x7FFF >> mantissa);
  double value = exponent == 0 ? std::ldexp(fraction, 1 - bias - mantissa)
                               : std::ldexp(fraction + (1 << mantissa), exponent - bias - mantissa);
  if (exponent == top) value = fraction ? std::nan("") : kInf;
  return bits & 0x8000 ? -value : value;
}

// The stored number nearest to `value`, ties to even, found by comparing the two neighbours: no bit
// tricks.
uint16_t Nearest(double value, int mantissa, int bias) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::abs(value);
  const uint16_t infinity = static_cast<uint16_t>((0x7FFF >> mantissa) << mantissa);
  uint16_t low = 0, high = infinity;  // Value(low) <= magnitude < Value(high)
  if (magnitude == kInf) return sign | infinity;
  while (high - low > 1) {
    const uint16_t middle = static_cast<uint16_t>((low + high) / 2);
    (Value(middle, mantissa, bias) <= magnitude ? low : high) = middle;
  }
  // IEEE 754 rounds to infinity as if the next exponent were there.
  const double below = Value(low, mantissa, bias);
  const double above = high == infinity ? std::ldexp(1.0, (infinity >> mantissa) - bias)
                                        : Value(high, mantissa, bias);
  const double middle = below + (above - below) / 2;
  if (magnitude == middle) return sign | (low % 2 == 0 ? low : high);
  return sign | (magnitude < middle ? low : high);
}

// What FromDoubles stores for one number.
uint16_t Narrowed(double value, DType dtype) {
  uint16_t bits = 0;
  FromDoubles({&value, 1}, dtype, std::as_writable_bytes(std::span(&bits, 1)));
  return bits;
}

// Doubles a hair away from a midpoint: rounding to float first would land on the midpoint and then
// go the wrong way.
TEST(Convert, DoublesAreRoundedOnce) {
  for (uint32_t bits = 1; bits < 0x7BFF; bits += 7) {
    const double low = Value(static_cast<uint16_t>(bits), 10, 15);
    const double middle = low + (Value(static_cast<uint16_t>(bits + 1), 10, 15) - low) / 2;
    for (double y : {std::nextafter(middle, 0.0), middle, std::nextafter(middle, 1e9)}) {
      ASSERT_EQ(Narrowed(y, DType::kF16), Nearest(y, 10, 15)) << y;
      ASSERT_EQ(Narrowed(-y, DType::kF16), Nearest(-y, 10, 15)) << y;
    }
  }
  for (uint32_t bits = 1; bits < 0x7F7F; bits += 7) {
    const double low = Value(static_cast<uint16_t>(bits), 7, 127);
    const double middle = low + (Value(static_cast<uint16_t>(bits + 1), 7, 127) - low) / 2;
    for (double y : {std::nextafter(middle, 0.0), middle, std::nextafter(middle, kInf)}) {
      ASSERT_EQ(Narrowed(y, DType::kBF16), Nearest(y, 7, 127)) << y;
      ASSERT_EQ(Narrowed(-y, DType::kBF16), Nearest(-y, 7, 127)) << y;
    }
  }
}

TEST(Convert, DoubleExtremes) {
  EXPECT_EQ(Narrowed(1e300, DType::kBF16), 0x7F80);
  EXPECT_EQ(Narrowed(-1e300, DType::kBF16), 0xFF80);
  EXPECT_EQ(Narrowed(5e-324, DType::kBF16), 0);
  EXPECT_EQ(Narrowed(-5e-324, DType::kBF16), 0x8000);
  EXPECT_EQ(Narrowed(double{kInf}, DType::kF16), 0x7C00);
  EXPECT_TRUE(std::isnan(Value(Narrowed(std::nan(""), DType::kBF16), 7, 127)));
  EXPECT_TRUE(std::isnan(Value(Narrowed(std::nan(""), DType::kF16), 10, 15)));
}

// Lengths around the block size, and bytes at odd addresses.
RC_GTEST_PROP(Convert, BulkIsTheScalarFunctionElementByElement, ()) {
  const auto count = *rc::gen::inRange<size_t>(0, 600);
  std::vector<double> values(count);
  for (double& v : values) v = std::bit_cast<double>(*rc::gen::arbitrary<uint64_t>());
  for (double& v : values) v = std::isnan(v) ? 0.1 : v;
  for (DType dtype : {DType::kBF16, DType::kF16, DType::kF32, DType::kF64}) {
    std::vector<std::byte> storage(count * ByteSize(dtype) + 1);
    const std::span stored = std::span(storage).subspan(1);
    FromDoubles(values, dtype, stored);
    std::vector<double> back(count);
    ToDoubles(stored, dtype, back);
    std::vector<float> floats(count);
    ToFloats(stored, dtype, floats);
    for (size_t i = 0; i < count; ++i) {
      double expected = values[i];
      if (dtype == DType::kBF16) expected = Value(Nearest(values[i], 7, 127), 7, 127);
      if (dtype == DType::kF16) expected = Value(Nearest(values[i], 10, 15), 10, 15);
      if (dtype == DType::kF32) expected = static_cast<float>(values[i]);
      RC_ASSERT(back[i] == expected);
      RC_ASSERT(floats[i] == static_cast<float>(expected));
    }
    std::vector<std::byte> again(stored.size());
    FromDoubles(back, dtype, again);
    RC_ASSERT(std::equal(again.begin(), again.end(), stored.begin()));
    if (dtype != DType::kF64) {
      FromFloats(floats, dtype, again);
      RC_ASSERT(std::equal(again.begin(), again.end(), stored.begin()));
    }
  }
}

TEST(Convert, RefusesSpansThatDoNotFit) {
  std::vector<std::byte> bytes(7);
  std::vector<float> floats(4);
  EXPECT_THROW(ToFloats(bytes, DType::kBF16, floats), Error);
  EXPECT_THROW(FromFloats(floats, DType::kU8, std::span(bytes).first(4)), Error);
}

RC_GTEST_PROP(FirstNonFinite, FindsTheFirst, ()) {
  const auto count = *rc::gen::inRange<size_t>(1, 1000);
  std::vector<double> values(count, 3.0e38);
  const auto first = *rc::gen::inRange<size_t>(0, count),
             second = *rc::gen::inRange<size_t>(first, count);
  for (DType dtype : {DType::kBF16, DType::kF32, DType::kF64}) {
    std::vector<std::byte> bytes(count * ByteSize(dtype));
    FromDoubles(std::vector<double>(count, 3.0e38), dtype, bytes);
    RC_ASSERT(!FirstNonFinite(bytes, dtype));
    values.assign(count, 0.0);
    values[second] = -kInf;
    values[first] = std::nan("");
    FromDoubles(values, dtype, bytes);
    RC_ASSERT(*FirstNonFinite(bytes, dtype) == first);
  }
}

TEST(FirstNonFinite, IntegersAreFinite) {
  const std::vector<std::byte> ones(64, std::byte{0xFF});
  EXPECT_FALSE(FirstNonFinite(ones, DType::kI32));
  EXPECT_EQ(FirstNonFinite(ones, DType::kF16), 0u);
}

}  // namespace
}  // namespace orchard::io
