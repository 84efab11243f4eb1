// Differentiable operations that run as one pass over memory instead of a chain of ATen calls:
// normalisation, activations, cross-entropy, dropout. On CUDA tensors they launch the kernels of
// cuda/nn (where compiled); on the CPU they run the twins of lib/nn or the ATen composition,
// whichever was measured to be faster (docs/kernels.md). Double backward is not supported.
//
// Dtypes: f32, f64, bf16, f16. bf16 and f16 are computed in f32 and rounded once. Inputs need not
// be contiguous; results are. All throw UsageError, naming the argument, when shapes, dtypes or
// devices do not fit.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "base/philox.h"
#include "nn/activation_kind.h"

namespace orchard::nn {

// (x - mean) / sqrt(variance + epsilon) * weight + bias over the last dimension.
//   x             [..., D]
//   weight, bias  [D], in the dtype of x or f32
at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double epsilon);

// How a stored RMSNorm weight gives the gain: w (LLaMA), or 1 + w (Gemma).
enum class Gain { kWeight, kOnePlusWeight };

// x / sqrt(mean(x^2) + epsilon) * gain(weight) over the last dimension. Shapes as for LayerNorm.
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                   Gain gain = Gain::kWeight);

// activation(x + bias).
//   x     [..., D]
//   bias  [D] in the dtype of x, or undefined for none
at::Tensor BiasActivation(const at::Tensor& x, const at::Tensor& bias, Activation activation);

// activation(gate) * up, elementwise: SwiGLU with kSilu, GeGLU with kGelu or kGeluTanh. Same shape
// and dtype.
at::Tensor GatedActivation(const at::Tensor& gate, const at::Tensor& up, Activation activation);

struct CrossEntropyOptions {
  int64_t ignore_index = -100;  // rows with this target count neither in the loss nor in the mean
  double label_smoothing = 0;   // in [0, 1): weight of the uniform distribution over the classes
};

// Softmax cross-entropy in nats.
//   logits   [N, C]
//   targets  [N] int64 in [0, C) or `ignore_index`
// Returns the mean over the rows that count, an f32 (f64 for f64 logits) scalar; 0 when no row
// counts. Throws DataError, naming the row, for a target out of range on the CPU; on CUDA such a
// row's loss is NaN.
at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& targets,
                        const CrossEntropyOptions& options = {});

// The loss of each row, [N]; 0 where ignored.
at::Tensor CrossEntropyRows(const at::Tensor& logits, const at::Tensor& targets,
                            const CrossEntropyOptions& options = {});

// Which random numbers a dropout draws: the element at flat index i takes word i % 4 of
// PhiloxAt(key, i / 4, stream). No mask is stored: the backward pass draws again. Give every call
// of a step its own stream, e.g. step * layers + layer.
struct DropoutRandom {
  Philox2 key;  // PhiloxKey(seed, Hash64("dropout"))
  uint64_t stream = 0;
};

// Zeroes elements with `probability` in [0, 1) and scales the others by 1 / (1 - probability).
at::Tensor Dropout(const at::Tensor& x, double probability, const DropoutRandom& random);

// residual + Dropout(x), one pass. Same shape and dtype.
at::Tensor DropoutAdd(const at::Tensor& x, const at::Tensor& residual, double probability,
                      const DropoutRandom& random);

// Stochastic depth: as Dropout, but one draw for each sample x[n, ...].
at::Tensor DropPath(const at::Tensor& x, double probability, const DropoutRandom& random);

}  // namespace orchard::nn
