// Dropout (one draw an element) and drop-path (one draw a sample), with an optional residual added
// in the same pass.
//
// The mask is never stored: a thread draws the Philox blocks of its elements (one block for four of
// them, about 60 integer operations) from (key, stream, index), forward and backward alike. Bytes
// per element: read x (and the residual), write y. A thread takes four elements, one block, so f32
// moves 16 and bf16 8 bytes at once; the tail goes element by element.
#include <cuda_runtime.h>

#include "cuda/base/vector.cuh"
#include "cuda/nn/dropout.h"
#include "nn/dropout_element.h"

namespace orchard::cuda {
namespace {

using nn::DropoutArgs;

constexpr int kThreads = 256;

// Both kernels want the threshold as an integer and the scale in the arithmetic type.
template <class C>
struct Scaling {
  uint32_t threshold;
  C scale;
};

template <class T, class C>
__device__ __forceinline__ T Element(const DropoutArgs& a, int64_t i, bool kept, C scale) {
  const C x = kept ? static_cast<C>(Widen(static_cast<const T*>(a.x)[i])) * scale : C(0);
  return Narrow<T>(
      a.residual == nullptr ? x : static_cast<C>(Widen(static_cast<const T*>(a.residual)[i])) + x);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    ElementKernel(DropoutArgs a, Scaling<ComputeOf<T>> s, bool vectors) {
  using C = ComputeOf<T>;
  const int64_t blocks = (a.count + 3) / 4, stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t b = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; b < blocks;
       b += stride) {
    const Philox4 draw = PhiloxAt(a.key, static_cast<uint64_t>(b), a.stream);
    if (vectors && 4 * b + 4 <= a.count) {
      C x[4], residual[4] = {};
      LoadVector<4>(static_cast<const T*>(a.x), b, x);
      if (a.residual != nullptr) LoadVector<4>(static_cast<const T*>(a.residual), b, residual);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const C kept = nn::Kept(draw.word[i], s.threshold) ? x[i] * s.scale : C(0);
        x[i] = a.residual != nullptr ? residual[i] + kept : kept;
      }
      StoreVector<4>(static_cast<T*>(a.y), b, x);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (4 * b + i >= a.count) break;
        static_cast<T*>(a.y)[4 * b + i] =
            Element<T, C>(a, 4 * b + i, nn::Kept(draw.word[i], s.threshold), s.scale);
      }
    }
  }
}

// One block of threads walks over one sample, so the draw is made once per thread and sample.
template <class T>
__global__ void __launch_bounds__(kThreads) GroupKernel(DropoutArgs a, Scaling<ComputeOf<T>> s) {
  using C = ComputeOf<T>;
  const int64_t group = blockIdx.y;
  const Philox4 draw = PhiloxAt(a.key, static_cast<uint64_t>(group) / 4, a.stream);
  const uint32_t word = group % 4 == 0   ? draw.word[0]
                        : group % 4 == 1 ? draw.word[1]
                        : group % 4 == 2 ? draw.word[2]
                                         : draw.word[3];
  const bool kept = nn::Kept(word, s.threshold);
  const int64_t end = (group + 1) * a.group < a.count ? (group + 1) * a.group : a.count;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = group * a.group + static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < end; i += stride) {
    static_cast<T*>(a.y)[i] = Element<T, C>(a, i, kept, s.scale);
  }
}

}  // namespace

void Dropout(const DropoutArgs& a, cudaStream_t stream) {
  CheckArgument(a.count >= 0 && a.group > 0, "Dropout", a.name, "count or group out of range");
  CheckArgument(a.probability >= 0 && a.probability < 1, "Dropout", a.name,
                "the probability must lie in [0, 1)");
  if (a.count == 0) return;
  CheckArgument(a.x != nullptr && a.y != nullptr, "Dropout", a.name, "x or y is null");
  const int64_t groups = (a.count + a.group - 1) / a.group;
  CheckArgument(a.group == 1 || groups <= 65535, "Dropout", a.name, "more than 65535 samples");
  DispatchFloat(a.type, [&](auto t) {
    using T = decltype(t);
    using C = ComputeOf<T>;
    const Scaling<C> s = {nn::DropThreshold(a.probability),
                          static_cast<C>(1 / (1 - a.probability))};
    if (a.group == 1) {
      const uintptr_t addresses = reinterpret_cast<uintptr_t>(a.x) |
                                  reinterpret_cast<uintptr_t>(a.y) |
                                  reinterpret_cast<uintptr_t>(a.residual);
      ElementKernel<T><<<GridSize((a.count + 3) / 4, kThreads), kThreads, 0, stream>>>(
          a, s, addresses % (4 * sizeof(T)) == 0);
    } else {
      const int most = GridSize(a.group, kThreads);
      const dim3 grid(static_cast<unsigned>(most < 64 ? most : 64), static_cast<unsigned>(groups));
      GroupKernel<T><<<grid, kThreads, 0, stream>>>(a, s);
    }
  });
  CheckLaunch("Dropout", a.name);
}

}  // namespace orchard::cuda
