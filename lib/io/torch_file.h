// PyTorch checkpoints (.bin, .pth, .pt as torch.save writes them since 1.6): a zip archive of one
// pickle and one file per storage.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace orchard::io {

// True when the bytes are a zip archive or a bare pickle, as no safetensors file is.
bool IsTorchFile(std::span<const std::byte> file);

// The tensors of the file's state dict, ordered by name: the outermost dict, or where that holds no
// tensors the first of state_dict, model, model_state_dict, module, params, ema inside it. Values
// that are no tensors (epochs, options) are left out. No code of the file is run. begin and end are
// the tensor's bytes in the file; tied tensors share them. Throws DataError: damaged, asking for
// code, written before 1.6, compressed, a tensor outside its storage; ImpossibleError: a view that
// is not contiguous.
std::vector<TensorInfo> ParseTorchFile(std::span<const std::byte> file, const std::string& where);

}  // namespace orchard::io
