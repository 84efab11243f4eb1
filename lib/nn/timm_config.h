// Checkpoints of timm say little about their model: the sizes are read from the tensors.
#pragma once

#include <string>

#include "arch/architecture.h"
#include "io/safetensors.h"

namespace orchard::nn {

// The architecture table for timm's "architecture" key: "timm_vit" for vit_* and deit_*. Throws
// ImpossibleError for others.
std::string TimmModelType(const std::string& architecture);

// A configuration in the words of Hugging Face's ViT. Keys that `config` has win (`num_heads`,
// `image_size`, `global_pool`). Throws DataError naming the tensor that is missing or misshapen,
// ImpossibleError where the number of heads cannot be known.
arch::Json CompleteTimmConfig(const arch::Json& config, const arch::Architecture& architecture,
                              const io::Checkpoint& checkpoint);

}  // namespace orchard::nn
