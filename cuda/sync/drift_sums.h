// The sums of lib/sync/drift_sums.h on the GPU.
#pragma once

#include "cuda/base/launch.h"
#include "sync/drift_sums.h"

namespace orchard::cuda {

// Bytes of device memory that SumDrift needs.
int64_t DriftWorkspace(int64_t count);

// *sums (device) = the sums over `count` elements of device memory, added in a fixed order.
// Enqueues and returns. Throws UsageError, ResourceError or Error.
void SumDrift(int64_t count, const float* values, const float* mean, void* workspace,
              sync::DriftSums* sums, cudaStream_t stream);

}  // namespace orchard::cuda
