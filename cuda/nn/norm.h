// LayerNorm and RMSNorm on the GPU; the arguments are device pointers. CPU twin: nn/norm.h.
#pragma once

#include "cuda/base/launch.h"
#include "nn/norm.h"

namespace orchard::cuda {

// Both enqueue and return. Throw UsageError for arguments that do not fit, ResourceError or Error
// when the launch fails.
void NormForward(const nn::NormForwardArgs& args, cudaStream_t stream);
void NormBackward(const nn::NormBackwardArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
