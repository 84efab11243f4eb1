// Instance norm and leaky ReLU in one pass over channels-last feature maps.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace orchard::segment {

// y = leaky_relu((x - mean) / sqrt(var + epsilon) * weight + bias), with mean and biased variance
// of every channel of every image. x [B, C, K, J, I], weight and bias [C]. A kernel
// forward and one backward, which keep x and two numbers a channel; LibTorch's operations where
// there are no kernels. x may have 16 bits: statistics, weights and arithmetic then are f32. The
// result has the type of x and is channels-last.
at::Tensor InstanceNormLeakyRelu(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& bias, double slope = 0.01,
                                 double epsilon = 1e-5);

}  // namespace orchard::segment
