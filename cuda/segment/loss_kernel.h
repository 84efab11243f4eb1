// Softmax, cross-entropy and soft Dice on the GPU; pointers of the arguments are device pointers.
// CPU twin: segment/loss_kernel.h.
#pragma once

#include "cuda/base/launch.h"
#include "segment/loss_kernel.h"

namespace orchard::cuda {

// Doubles that `partials` of SumLoss holds.
int64_t LossPartials(int64_t batch, int64_t classes, int64_t voxels);

// sums [batch, 3 classes + 2]: intersections, probabilities and areas of each class, the
// cross-entropy, and the voxels that counted. All enqueue and return. A label that is no class
// counts as ignored; labels are checked where they are made. Throw UsageError, ResourceError or
// Error when a launch fails.
template <class T>
void SumLoss(const segment::LossArgs<T>& args, double* partials, double* sums, cudaStream_t stream);

// inside and outside: [batch, classes] on the device; gradient has the strides of the logits.
template <class T>
void LossGradient(const segment::LossArgs<T>& args, double ce_scale, const double* inside,
                  const double* outside, T* gradient, cudaStream_t stream);

}  // namespace orchard::cuda
