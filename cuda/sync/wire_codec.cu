// Rounding of narrow messages. Messages are small beside the arena, so these kernels are simple:
// an element per thread and turn, 16-bit codes 10 bytes an element (f32), int8 codes 9. A block of
// threads finds the exponent of one block of the message; its largest magnitude does not depend on
// the order.
#include <cuda_runtime.h>

#include "cuda/base/reduce.cuh"
#include "cuda/sync/wire_codec.h"

namespace orchard::cuda {
namespace {

using sync::HalfArgs;
using sync::Int8Args;
using sync::kWireBlock;

constexpr int kThreads = 256;

template <class T, class Half>
__global__ void __launch_bounds__(kThreads) HalfKernel(HalfArgs<T, Half> a) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < a.count;
       i += stride) {
    Half code;
    a.values[i] = sync::SplitHalf(a.values[i], code);
    a.codes[i] = code;
  }
}

struct LargerOfBoth {
  template <class C>
  __device__ __forceinline__ C operator()(C a, C b) const {
    return sync::LargerMagnitude(a, b);
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads) ExponentKernel(Int8Args<T> a) {
  __shared__ T scratch[kThreads / 32];
  for (int64_t block = blockIdx.x; block * kWireBlock < a.count; block += gridDim.x) {
    const int64_t end = a.count < (block + 1) * kWireBlock ? a.count : (block + 1) * kWireBlock;
    T largest = 0;
    for (int64_t i = block * kWireBlock + threadIdx.x; i < end; i += kThreads) {
      largest = sync::LargerMagnitude(largest, a.values[i]);
    }
    largest = WarpReduce(largest, LargerOfBoth());
    __syncthreads();  // the scratch of the block before may still be read
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = largest;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int w = 1; w < kThreads / 32; ++w) largest = sync::LargerMagnitude(largest, scratch[w]);
      a.exponents[block] = sync::WireExponent(static_cast<double>(largest));
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) EncodeKernel(Int8Args<T> a) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < a.count;
       i += stride) {
    const uint64_t place = a.first + static_cast<uint64_t>(i);
    const Philox4 random = PhiloxAt(a.key, place / 4, a.stream);
    const uint32_t word = place % 4 == 0   ? random.word[0]
                          : place % 4 == 1 ? random.word[1]
                          : place % 4 == 2 ? random.word[2]
                                           : random.word[3];
    int8_t code;
    a.values[i] =
        sync::SplitInt8(a.values[i], a.exponents[i / kWireBlock], UniformFloat(word), code);
    a.codes[i] = code;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) DecodeKernel(Int8Args<T> a) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < a.count;
       i += stride) {
    a.values[i] = sync::JoinInt8<T>(a.codes[i], a.exponents[i / kWireBlock]);
  }
}

template <class T>
bool Check(const Int8Args<T>& a, bool codes, const char* kernel) {
  CheckArgument(a.count >= 0, kernel, "message", "has a negative size");
  CheckArgument(a.count == 0 || (a.values != nullptr && a.exponents != nullptr &&
                                 (!codes || a.codes != nullptr)),
                kernel, "", "a pointer is null");
  return a.count > 0;
}

}  // namespace

template <class T, class Half>
void EncodeHalf(const HalfArgs<T, Half>& a, cudaStream_t stream) {
  CheckArgument(a.count >= 0, "EncodeHalf", "message", "has a negative size");
  if (a.count == 0) return;
  CheckArgument(a.values != nullptr && a.codes != nullptr, "EncodeHalf", "", "a pointer is null");
  HalfKernel<T, Half><<<GridSize(a.count, kThreads), kThreads, 0, stream>>>(a);
  CheckLaunch("EncodeHalf", "");
}

template <class T>
void FindExponents(const Int8Args<T>& a, cudaStream_t stream) {
  if (!Check(a, false, "FindExponents")) return;
  ExponentKernel<T><<<GridSize(sync::WireBlocks(a.count), 1), kThreads, 0, stream>>>(a);
  CheckLaunch("FindExponents", "");
}

template <class T>
void EncodeInt8(const Int8Args<T>& a, cudaStream_t stream) {
  if (!Check(a, true, "EncodeInt8")) return;
  EncodeKernel<T><<<GridSize(a.count, kThreads), kThreads, 0, stream>>>(a);
  CheckLaunch("EncodeInt8", "");
}

template <class T>
void DecodeInt8(const Int8Args<T>& a, cudaStream_t stream) {
  if (!Check(a, true, "DecodeInt8")) return;
  DecodeKernel<T><<<GridSize(a.count, kThreads), kThreads, 0, stream>>>(a);
  CheckLaunch("DecodeInt8", "");
}

#define ORCHARD_INSTANTIATE(T)                                          \
  template void EncodeHalf(const HalfArgs<T, BFloat16>&, cudaStream_t); \
  template void EncodeHalf(const HalfArgs<T, Float16>&, cudaStream_t);  \
  template void FindExponents(const Int8Args<T>&, cudaStream_t);        \
  template void EncodeInt8(const Int8Args<T>&, cudaStream_t);           \
  template void DecodeInt8(const Int8Args<T>&, cudaStream_t);
ORCHARD_INSTANTIATE(float)
#undef ORCHARD_INSTANTIATE

}  // namespace orchard::cuda
