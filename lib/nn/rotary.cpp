#include "nn/rotary.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/where.h>

#include <numbers>

namespace orchard::nn {
namespace {

// LLaMA 3.1: long wavelengths are divided by `factor`, short ones kept, those between are blended.
at::Tensor ScaleLlama3(const at::Tensor& frequency, const RopeConfig& rope) {
  const double low = rope.original_max_positions / rope.low_freq_factor;
  const double high = rope.original_max_positions / rope.high_freq_factor;
  const at::Tensor wavelength = 2 * std::numbers::pi / frequency;
  const at::Tensor scaled = at::where(wavelength > low, frequency / rope.factor, frequency);
  const at::Tensor smooth = (rope.original_max_positions / wavelength - rope.low_freq_factor) /
                            (rope.high_freq_factor - rope.low_freq_factor);
  const at::Tensor blended = (1 - smooth) * scaled / rope.factor + smooth * scaled;
  return at::where(wavelength.ge(high).logical_and(wavelength.le(low)), blended, scaled);
}

}  // namespace

at::Tensor RotaryFrequencies(const RopeConfig& rope) {
  const at::Tensor exponent =
      at::arange(0, rope.dim, 2, at::kLong).to(at::kFloat) / static_cast<double>(rope.dim);
  const at::Tensor frequency = 1.0 / at::pow(rope.theta, exponent);
  switch (rope.scaling) {
    case RopeConfig::Scaling::kNone:
      break;
    case RopeConfig::Scaling::kLinear:
      return frequency / rope.factor;
    case RopeConfig::Scaling::kLlama3:
      return ScaleLlama3(frequency, rope);
  }
  return frequency;
}

RotaryTable MakeRotaryTable(const RopeConfig& rope, int64_t length, at::ScalarType dtype,
                            at::Device device) {
  const at::Tensor position = at::arange(length, at::kLong).to(at::kFloat).view({length, 1, 1});
  const at::Tensor angle = position * RotaryFrequencies(rope);
  return {angle.cos().to(device, dtype), angle.sin().to(device, dtype)};
}

at::Tensor Rotate(const at::Tensor& x, const RotaryTable& table) {
  const int64_t half = table.cos.size(-1), rest = x.size(-1) - 2 * half;
  const at::Tensor first = x.narrow(-1, 0, half), second = x.narrow(-1, half, half);
  const at::Tensor turned_first = at::addcmul(first * table.cos, second, table.sin, -1);
  const at::Tensor turned_second = at::addcmul(second * table.cos, first, table.sin);
  if (rest == 0) return at::cat({turned_first, turned_second}, -1);
  return at::cat({turned_first, turned_second, x.narrow(-1, 2 * half, rest)}, -1);
}

}  // namespace orchard::nn
