// The operations of fused_ops.h as chains of ATen calls: what runs on devices without kernels, and
// where a chain was measured to be faster; the reference in tests and benchmarks. Same arguments
// and results, differentiable any number of times.
#pragma once

#include "nn/fused_ops.h"

namespace orchard::nn::composed {

at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double epsilon);
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon, Gain gain);
at::Tensor BiasActivation(const at::Tensor& x, const at::Tensor& bias, Activation activation);
at::Tensor GatedActivation(const at::Tensor& gate, const at::Tensor& up, Activation activation);
at::Tensor CrossEntropyRows(const at::Tensor& logits, const at::Tensor& targets,
                            const CrossEntropyOptions& options);

// The draws are made on the CPU and copied: slow, but the same elements are dropped everywhere.
at::Tensor Dropout(const at::Tensor& x, int64_t group, double probability,
                   const DropoutRandom& random);

}  // namespace orchard::nn::composed
