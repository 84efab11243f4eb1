// Elementary functions for kernels. On the GPU they are CUDA's; on the CPU the float forms have no
// branches and call nothing, so that the compiler vectorises the loops of the twins. The double
// forms are the C library's.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/half.h"

namespace orchard {

// e^x. Float on the CPU: relative error below 2e-7; 0 below -87.3 (where the result would be
// subnormal), infinity above 88.72.
ORCHARD_HD float Exp(float x) {
#if defined(__CUDA_ARCH__)
  return expf(x);
#else
  // x = n ln 2 + r with |r| <= ln 2 / 2: 2^n by its exponent bits, e^r by its Taylor series. NaN
  // passes through the comparisons.
  x = x > 89.0f ? 89.0f : x;
  x = x < -87.5f ? -87.5f : x;
  constexpr float kRound =
      12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const float shifted = x * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r =
      (x - n * 0.693145752f) - n * 1.42860677e-6f;  // ln 2 in two parts, the first short
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = (p * r) * r + r + 1.0f;
  // 2^(n-1) and a doubling, because 2^128 has no exponent bits although e^88.7 is finite.
  const uint32_t exponent = (FloatBits(shifted) - FloatBits(kRound) + 126u) << 23;
  return p * FloatOfBits(exponent) * 2.0f;
#endif
}
ORCHARD_HD double Exp(double x) { return ::exp(x); }

// Phi(x), the standard normal distribution function. Float on the CPU: relative error below 1e-6
// for x > -5, absolute below 2e-7.
ORCHARD_HD float NormalCdf(float x) {
#if defined(__CUDA_ARCH__)
  return normcdff(x);
#else
  // erfc(z) = t exp(-z^2 + P(t)), t = 1 / (1 + z/2), for z = |x| / sqrt 2; P is a Chebyshev fit of
  // degree 9 over z in [0, 10.2].
  const float z = (x < 0.0f ? -x : x) * 0.707106781f;
  const float t = 1.0f / (1.0f + 0.5f * z);
  float p = 0.1465371698f;
  p = p * t - 0.6895892024f;
  p = p * t + 1.1773762703f;
  p = p * t - 0.7237541079f;
  p = p * t - 0.0575148799f;
  p = p * t - 0.0108340811f;
  p = p * t + 0.0387195125f;
  p = p * t + 0.3857792616f;
  p = p * t + 0.9987329841f;
  p = p * t - 1.2654529810f;
  const float tail = 0.5f * t * Exp(p - z * z);
  return x < 0.0f ? tail : 1.0f - tail;
#endif
}
ORCHARD_HD double NormalCdf(double x) { return 0.5 * ::erfc(-0.70710678118654752440 * x); }

// 1 / (1 + e^-x) and its derivative, both without cancellation in either tail.
template <class C>
struct SigmoidPair {
  C value, slope;
};

template <class C>
ORCHARD_HD SigmoidPair<C> SigmoidWithSlope(C x) {
  const C e = Exp(x < C(0) ? x : -x);
  const C s = C(1) / (C(1) + e);
  return {x < C(0) ? e * s : s, e * s * s};
}

template <class C>
ORCHARD_HD C Sigmoid(C x) {
  return SigmoidWithSlope(x).value;
}

}  // namespace orchard
