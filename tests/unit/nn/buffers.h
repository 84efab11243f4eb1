// Random buffers of every stored float type, and their values in double, for tests that compare
// kernels with plain loops.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "base/half.h"

namespace orchard::nn {

template <class T>
using Buffer = std::vector<T>;

// Normal values around `mean`, rounded to T.
template <class T>
Buffer<T> RandomBuffer(int64_t count, uint32_t seed, double mean = 0, double deviation = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(mean, deviation);
  Buffer<T> buffer(static_cast<size_t>(count));
  for (T& value : buffer) value = Narrow<T>(static_cast<ComputeOf<T>>(normal(engine)));
  return buffer;
}

template <class T>
std::vector<double> Values(const Buffer<T>& buffer) {
  std::vector<double> values;
  for (T value : buffer) values.push_back(Widen(value));
  return values;
}

// The relative spacing of T: half of it is the rounding error of one stored result.
template <class T>
double Spacing() {
  switch (kFloatTypeOf<T>) {
    case FloatType::kF16:
      return 0x1p-10;
    case FloatType::kBF16:
      return 0x1p-7;
    case FloatType::kF32:
      return 0x1p-23;
    case FloatType::kF64:
      break;
  }
  return 0x1p-52;
}

// Every value within `spacings` of T, relative to the larger of its size and `scale`.
template <class T>
void ExpectClose(const Buffer<T>& got, const std::vector<double>& expected, double spacings,
                 double scale = 1) {
  ASSERT_EQ(got.size(), expected.size());
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(static_cast<double>(Widen(got[i])) - expected[i]) /
                         std::max(scale, std::abs(expected[i]));
    if (!(error <= worst)) worst = error, at = i;  // NaN too
  }
  EXPECT_LE(worst, spacings * Spacing<T>()) << "at " << at << " of " << got.size();
}

}  // namespace orchard::nn
