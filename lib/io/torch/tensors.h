// Tensors of LibTorch from checkpoints, and into safetensors files.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "io/safetensors.h"

namespace orchard::io {

// The type of LibTorch that holds `dtype`, and the other way round. Throw ImpossibleError for
// packed and complex types.
at::ScalarType ToScalarType(DType dtype);
DType FromScalarType(at::ScalarType type);

// A copy on the CPU, in the stored dtype. Throws DataError when there is no tensor of that name
// (with the nearest one).
at::Tensor ReadTensor(const Checkpoint& checkpoint, std::string_view name);

// All tensors by name. Checkpoints are safetensors or PyTorch's own files alike; tied tensors of
// the latter become copies.
std::map<std::string, at::Tensor> ReadTensors(const Checkpoint& checkpoint);

// Writes one safetensors file, beside its name and then renamed. Tensors may be on any device, of
// any strides. `sync`: the bytes are on the disk on return. Throws ResourceError (disk full, before
// anything is copied) and ImpossibleError (sparse or packed tensors).
void SaveTensors(const std::filesystem::path& path,
                 const std::map<std::string, at::Tensor>& tensors,
                 const std::map<std::string, std::string>& metadata = {}, bool sync = true);

}  // namespace orchard::io
