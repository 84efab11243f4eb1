// Random tensors whose values depend on (seed, name, element) alone: Philox keyed by the tensor's
// name, counted by flat index.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace orchard::nn {

// Near-normal (NoiseInteger of base/philox.h, |x| <= 4.9 standard deviations), mean 0.
at::Tensor RandomNormal(std::string_view name, at::IntArrayRef shape, double standard_deviation,
                        uint64_t seed, at::ScalarType dtype);

// Uniform in [-bound, bound).
at::Tensor RandomUniform(std::string_view name, at::IntArrayRef shape, double bound, uint64_t seed,
                         at::ScalarType dtype);

}  // namespace orchard::nn
