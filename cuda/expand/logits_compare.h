// Compares two sets of logits in device memory; all pointers are device pointers. CPU twin:
// expand/logits_compare.h.
#pragma once

#include "cuda/base/launch.h"
#include "expand/logits_compare.h"

namespace orchard::cuda {

// Enqueues and returns. Throws UsageError for arguments that do not fit, ResourceError or Error
// when the launch fails.
void LogitsCompare(const expand::LogitsCompareArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
