// The update kernels of lib/sync/update_kernels.h on the GPU; pointers of the arguments, pieces
// included, are device pointers (or memory that the device can reach). The twins' bits. Training
// is in f32, so there is no other type.
#pragma once

#include "cuda/base/launch.h"
#include "sync/update_kernels.h"

namespace orchard::cuda {

// Enqueue and return. Throw UsageError for arguments that do not fit, ResourceError or Error when a
// launch fails.
void LocalStep(const sync::UpdateArgs<float>& args, cudaStream_t stream);
void SplitStep(const sync::UpdateArgs<float>& args, cudaStream_t stream);
void ErrorFeedback(const sync::UpdateArgs<float>& args, cudaStream_t stream);
void QsparseStep(const sync::UpdateArgs<float>& args, cudaStream_t stream);

void Gather(const sync::MoveArgs<float>& args, cudaStream_t stream);
void Take(const sync::MoveArgs<float>& args, cudaStream_t stream);
void Scatter(const sync::MoveArgs<float>& args, cudaStream_t stream);
void ScatterAdd(const sync::MoveArgs<float>& args, cudaStream_t stream);
void ResetError(const sync::MoveArgs<float>& args, float theta, float* error, cudaStream_t stream);

}  // namespace orchard::cuda
