// Between stored bytes (lib/io) and tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>

#include "io/dtype.h"
#include "io/safetensors.h"

namespace orchard::nn {

// Throw ImpossibleError for types that LibTorch's CPU half does not compute with (FP8).
at::ScalarType ScalarTypeOf(io::DType dtype);
io::DType DTypeOf(at::ScalarType type);

// A copy of a stored tensor, in its stored dtype.
at::Tensor ReadTensor(const io::Checkpoint& checkpoint, const io::TensorInfo& tensor);

// The bytes of a contiguous CPU tensor.
std::span<const std::byte> TensorBytes(const at::Tensor& tensor);

}  // namespace orchard::nn
