// Instance norm and leaky ReLU on the GPU; pointers of the arguments are device pointers. CPU twin:
// segment/instance_norm_kernel.h.
#pragma once

#include "base/half.h"
#include "cuda/base/launch.h"
#include "segment/instance_norm_kernel.h"

namespace orchard::cuda {

template <class T>
using InstanceNormArgs = segment::InstanceNormArgs<T, ComputeOf<T>>;
template <class T>
using InstanceNormGradientArgs = segment::InstanceNormGradientArgs<T, ComputeOf<T>>;

// Elements of `workspace`, for either direction.
int64_t InstanceNormWorkspace(int64_t batch, int64_t rows, int64_t channels);

// T: Float16, BFloat16, float, double. Both enqueue three kernels and return; same bits in every
// run. Throw UsageError for sizes that do not fit, ResourceError or Error when a launch fails.
template <class T>
void InstanceNormForward(const InstanceNormArgs<T>& args, ComputeOf<T>* workspace,
                         cudaStream_t stream);
template <class T>
void InstanceNormBackward(const InstanceNormGradientArgs<T>& args, ComputeOf<T>* workspace,
                          cudaStream_t stream);

}  // namespace orchard::cuda
