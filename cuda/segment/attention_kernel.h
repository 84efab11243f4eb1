// Segmented cosine attention on the GPU; pointers of the arguments are device pointers. CPU twin:
// segment/attention_kernel.h.
#pragma once

#include "cuda/base/launch.h"
#include "segment/attention_kernel.h"

namespace orchard::cuda {

// Numbers of T that `workspace` of the calls below holds: unit vectors of queries and keys with
// their factors, areas of classes, and the gradients of tokens before normalisation.
int64_t CosineAttentionWorkspace(int64_t batch, int64_t targets, int64_t tokens, int64_t classes,
                                 int64_t key_channels);

// All enqueue and return. T is float or double. Throw UsageError for more channels than fit into
// shared memory (1024 of key and value together in f32), ResourceError or Error when a launch
// fails. The backward pass writes d tau and d beta to `scalars` [2], in double, on the device.
template <class T>
void CosineAttentionForward(const segment::AttentionArgs<T>& args, T* workspace,
                            cudaStream_t stream);
template <class T>
void CosineAttentionBackward(const segment::AttentionGradientArgs<T>& args, T* workspace,
                             double* scalars, cudaStream_t stream);

}  // namespace orchard::cuda
