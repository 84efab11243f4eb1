// A network of the user's own: a TorchScript module that classifies images.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "nn/image_network.h"

namespace orchard::nn {

// Trains the parameters of `file` under their names in the module, from the values they have there.
// What it keeps in floating-point buffers (running statistics), and parameters that were saved
// without requires_grad, are `measured`; other buffers stay with the module. Parameters that share
// memory stay one, under the name that comes first. Options are used for the shape alone.
//
// Throws DataError where the file is no module, has nothing to train, or other numbers than f32;
// Forward where the module fails or gives anything but logits [N, classes].
std::unique_ptr<ImageNetwork> LoadScriptNetwork(const std::filesystem::path& file,
                                                const ImageNetworkOptions& options);

// The bytes of the module in `file` with these tensors in place of those of the same names. Throws
// DataError where one has no place in it, or another shape there.
std::string ScriptModuleWith(const std::filesystem::path& file,
                             const std::map<std::string, at::Tensor>& tensors);

}  // namespace orchard::nn
