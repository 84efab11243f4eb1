// The rounding of lib/sync/wire_codec.h on the GPU; pointers of the arguments are device pointers.
// The twins' bits.
#pragma once

#include "cuda/base/launch.h"
#include "sync/wire_codec.h"

namespace orchard::cuda {

// Enqueue and return. T is float, Half BFloat16 or Float16. Throw UsageError for
// arguments that do not fit, ResourceError or Error when a launch fails.
template <class T, class Half>
void EncodeHalf(const sync::HalfArgs<T, Half>& args, cudaStream_t stream);
template <class T>
void FindExponents(const sync::Int8Args<T>& args, cudaStream_t stream);
template <class T>
void EncodeInt8(const sync::Int8Args<T>& args, cudaStream_t stream);
template <class T>
void DecodeInt8(const sync::Int8Args<T>& args, cudaStream_t stream);

}  // namespace orchard::cuda
