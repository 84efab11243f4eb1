// Packing on the GPU; the arguments are device pointers. CPU twin: execute/pack.h.
#pragma once

#include "cuda/base/launch.h"
#include "execute/pack.h"

namespace orchard::cuda {

// Enqueues one launch for all tensors and returns. Throws UsageError for arguments that do not fit,
// ResourceError or Error when the launch fails.
void Pack(const execute::PackArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
