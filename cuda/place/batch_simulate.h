// Many candidate plans of one graph on the GPU; the arguments are device pointers. CPU twin, with
// the same results: place/batch_simulate.h.
#pragma once

#include "cuda/base/launch.h"
#include "place/batch_simulate.h"

namespace orchard::cuda {

// Enqueues and returns; `args` and what `args.memory` points to are read before. Throws UsageError
// for arguments that do not fit, ResourceError or Error when the launch fails.
void BatchSimulate(const place::BatchArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
