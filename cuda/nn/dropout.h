// Dropout and drop-path on the GPU; the arguments are device pointers. CPU twin: nn/dropout.h,
// which gives the same bits.
#pragma once

#include "cuda/base/launch.h"
#include "nn/dropout.h"

namespace orchard::cuda {

// Enqueues and returns. Throws UsageError for arguments that do not fit, ResourceError or Error
// when the launch fails.
void Dropout(const nn::DropoutArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
