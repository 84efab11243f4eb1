// Divergence of copied units of a matrix in device memory; all pointers are device pointers. CPU
// twin: expand/copy_divergence.h.
#pragma once

#include "cuda/base/launch.h"
#include "expand/copy_divergence.h"

namespace orchard::cuda {

// Enqueues and returns. Throws UsageError for arguments that do not fit, ResourceError or Error
// when the launch fails.
void CopyDivergence(const expand::CopyDivergenceArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
