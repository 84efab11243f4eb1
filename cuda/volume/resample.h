// Gathering through an affine map on the GPU; the arguments are device pointers. CPU twin, with the
// same bits: volume/resample.h.
#pragma once

#include "cuda/base/launch.h"
#include "volume/resample.h"

namespace orchard::cuda {

// Enqueues and returns. Throws UsageError for arguments that do not fit, ResourceError or Error
// when the launch fails.
void Resample(const volume::ResampleArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
