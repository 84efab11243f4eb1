// Checkpoints of timm say little about their model: the sizes are read from the tensors.
#pragma once

#include "arch/architecture.h"
#include "io/safetensors.h"

namespace orchard::nn {

// Whether the tensors have timm's names of a ViT.
bool LooksLikeTimm(const io::Checkpoint& checkpoint);

// A configuration in the words of Hugging Face's ViT. Keys that `config` has win (`num_heads`,
// `image_size`, `global_pool`). Throws DataError naming the tensor that is missing or misshapen,
// ImpossibleError where the number of heads cannot be known.
arch::Json CompleteTimmConfig(const arch::Json& config, const arch::Architecture& architecture,
                              const io::Checkpoint& checkpoint);

}  // namespace orchard::nn
