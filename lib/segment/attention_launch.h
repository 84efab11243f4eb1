// Which device's kernel computes cosine attention.
#pragma once

#include <ATen/core/Tensor.h>

#include "segment/attention_kernel.h"

namespace orchard::segment {

// Whether there is a kernel for the device and type of `x`; else the composition is used.
bool HasAttentionKernel(const at::Tensor& x);

// Runs it where `x` is.
template <class T>
void LaunchAttention(const at::Tensor& x, const AttentionArgs<T>& args);
template <class T>
void LaunchAttentionGradient(const at::Tensor& x, AttentionGradientArgs<T>& args);

}  // namespace orchard::segment
