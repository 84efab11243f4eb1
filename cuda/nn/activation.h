// Bias + activation and gated activations on the GPU; the arguments are device pointers. CPU twin:
// nn/activation.h.
#pragma once

#include "cuda/base/launch.h"
#include "nn/activation.h"

namespace orchard::cuda {

// All enqueue and return. Throw UsageError for arguments that do not fit, ResourceError or Error
// when the launch fails.
void BiasActivationForward(const nn::BiasActivationForwardArgs& args, cudaStream_t stream);
void BiasActivationBackward(const nn::BiasActivationBackwardArgs& args, cudaStream_t stream);
void GatedForward(const nn::GatedForwardArgs& args, cudaStream_t stream);
void GatedBackward(const nn::GatedBackwardArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
