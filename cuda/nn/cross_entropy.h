// Fused softmax cross-entropy on the GPU; the arguments are device pointers. CPU twin:
// nn/cross_entropy.h.
#pragma once

#include "cuda/base/launch.h"
#include "nn/cross_entropy.h"

namespace orchard::cuda {

// Both enqueue and return. A target out of range gives NaN in the row's loss and gradient. Throw
// UsageError for arguments that do not fit, ResourceError or Error when the launch fails.
void CrossEntropyForward(const nn::CrossEntropyForwardArgs& args, cudaStream_t stream);
void CrossEntropyBackward(const nn::CrossEntropyBackwardArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
