// The arithmetic of AdamW, SGD and weight averaging, one element at a time; shared by the CUDA
// kernel and its CPU twin (parameter_update.h). C is float, or double for f64 parameters. Only +,
// -, *, / and square root, which IEEE 754 rounds the same way everywhere: CPU and GPU give the same
// bits where contraction is off.
#pragma once

#include <cmath>

#include "base/host_device.h"

namespace orchard::nn {

// What is the same for all elements of a tensor in one step.
template <class C>
struct AdamWScalars {
  C gradient_scale;  // averages over ranks and micro-batches, and clips
  C keep;            // 1 - learning_rate * weight_decay
  C beta1, one_minus_beta1;
  C beta2, one_minus_beta2;
  C step_size;                // learning_rate / (1 - beta1^t)
  C inverse_root_correction;  // 1 / sqrt(1 - beta2^t)
  C epsilon;
};

template <class C>
struct SgdScalars {
  C gradient_scale;
  C weight_decay;
  C momentum;
  C learning_rate;
  bool nesterov;
};

// 32 or 64 bit, correctly rounded on both.
ORCHARD_HD float SquareRoot(float x) {
#if defined(__CUDA_ARCH__)
  return __fsqrt_rn(x);
#else
  return __builtin_sqrtf(x);
#endif
}
ORCHARD_HD double SquareRoot(double x) {
#if defined(__CUDA_ARCH__)
  return __dsqrt_rn(x);
#else
  return __builtin_sqrt(x);
#endif
}

// Decoupled weight decay, then Adam: (Loshchilov & Hutter, 2019), with epsilon outside the bias
// correction as in PyTorch.
//   value          weight (the f32 master of a 16-bit weight)
//   first, second  running means of the gradient and of its square
template <class C>
ORCHARD_HD void AdamWElement(const AdamWScalars<C>& s, C gradient, C& value, C& first, C& second) {
  const C g = gradient * s.gradient_scale;
  first = s.beta1 * first + s.one_minus_beta1 * g;
  second = s.beta2 * second + s.one_minus_beta2 * (g * g);
  const C denominator = SquareRoot(second) * s.inverse_root_correction + s.epsilon;
  value = value * s.keep - s.step_size * (first / denominator);
}

// SGD as in PyTorch: weight decay is part of the gradient, dampening is 0.
//   buffer  running sum of gradients; 0 before the first step. With momentum 0 it is the last
//   gradient.
template <class C>
ORCHARD_HD void SgdElement(const SgdScalars<C>& s, C gradient, C& value, C& buffer) {
  const C g = gradient * s.gradient_scale + s.weight_decay * value;
  buffer = s.momentum * buffer + g;
  value = value - s.learning_rate * (s.nesterov ? g + s.momentum * buffer : buffer);
}

// Exponential moving average of the weights.
template <class C>
ORCHARD_HD C AverageElement(C decay, C one_minus_decay, C average, C value) {
  return decay * average + one_minus_decay * value;
}

}  // namespace orchard::nn
