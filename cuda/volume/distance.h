// Squared Euclidean distances on the GPU; the arguments are device pointers. CPU twin:
// volume/distance.h, which agrees to rounding (bit by bit where it searches, too).
#pragma once

#include "cuda/base/launch.h"
#include "volume/distance.h"

namespace orchard::cuda {

// `scratch` [size] is overwritten. Enqueues three kernels and returns. Throws UsageError for
// arguments that do not fit, ResourceError or Error when a launch fails. L: uint8_t, uint16_t,
// int32_t; T: float, double.
template <class L, class T>
void SquaredDistances(const volume::DistanceArgs<L, T>& args, T* scratch, cudaStream_t stream);

}  // namespace orchard::cuda
