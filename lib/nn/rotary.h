// Rotary position embeddings: pairs (i, i + dim/2) of a head's first `dim` features turn by
// position / wavelength.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/transformer_config.h"

namespace orchard::nn {

struct RotaryTable {
  at::Tensor cos, sin;  // [T, 1, dim/2]
};

// Angular frequencies [dim/2], f32, with the scaling applied. They are f32 in every model that was
// trained with them, so an f64 forward pass uses the same rounded values.
at::Tensor RotaryFrequencies(const RopeConfig& rope);

// cos and sin for positions 0..length-1, computed in f32 and cast to `dtype`.
RotaryTable MakeRotaryTable(const RopeConfig& rope, int64_t length, at::ScalarType dtype,
                            at::Device device);

// Rotates the first dim features of x [N, T, heads, head_dim].
at::Tensor Rotate(const at::Tensor& x, const RotaryTable& table);

}  // namespace orchard::nn
