// The selection of lib/sync/top_k_select.h on the GPU; all pointers of the arguments, segments
// included, are device pointers. The twin's places.
#pragma once

#include "cuda/base/launch.h"
#include "sync/top_k_select.h"

namespace orchard::cuda {

// Enqueues and returns. T is float or double. Throws UsageError for arguments that do not fit,
// ResourceError or Error when the launch fails.
template <class T>
void SelectTopK(const sync::TopKArgs<T>& args, cudaStream_t stream);

}  // namespace orchard::cuda
