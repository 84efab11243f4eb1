// Softmax cross-entropy over logits [rows, classes] with an ignored target and label smoothing.
//
// Forward reads the logits once: each thread keeps a running sum of exponentials relative to its
// largest logit (rescaled when a larger one comes), and the plain sum for smoothing; the pairs are
// combined by shuffles. Probabilities are never stored: the loss needs log sum exp and one logit,
// and that one number per row is all the backward pass needs besides the logits. Backward reads the
// logits and writes their gradient, in place if asked. Bytes per element: forward one read,
// backward one read and one write. One block per row; sizes presumed: classes from 10 (a block is
// then mostly idle) to 256 Ki (vocabularies). f64 and f32 accumulate in their own type, bf16 and
// f16 in f32.
#include <cuda_runtime.h>

#include "cuda/base/reduce.cuh"
#include "cuda/base/vector.cuh"
#include "cuda/nn/cross_entropy.h"
#include "nn/cross_entropy_element.h"

namespace orchard::cuda {
namespace {

using nn::CrossEntropyBackwardArgs;
using nn::CrossEntropyForwardArgs;

constexpr int kThreads = 512;

// WarpReduce for the pair, which shuffles cannot move as one value.
template <class C>
__device__ __forceinline__ nn::ExpSum<C> WarpCombine(nn::ExpSum<C> value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset >>= 1) {
    const nn::ExpSum<C> other = {__shfl_xor_sync(0xFFFFFFFFu, value.largest, offset),
                                 __shfl_xor_sync(0xFFFFFFFFu, value.sum, offset)};
    value = nn::Combine(value, other);
  }
  return value;
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads) ForwardKernel(CrossEntropyForwardArgs a) {
  using C = ComputeOf<T>;
  __shared__ C largest[32], sums[32], plain[32];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const T* x = static_cast<const T*>(a.logits) + row * a.classes;
    nn::ExpSum<C> total = nn::EmptyExpSum<C>();
    C sum = 0;
    for (int64_t v = threadIdx.x; v < a.classes / N; v += blockDim.x) {
      C value[N];
      LoadVector<N>(x, v, value);
      C top = value[0];
#pragma unroll
      for (int i = 1; i < N; ++i) top = value[i] > top ? value[i] : top;
      if (top > total.largest) {
        total.sum *= Exp(total.largest - top);
        total.largest = top;
      }
#pragma unroll
      for (int i = 0; i < N; ++i) {
        total.sum += Exp(value[i] - total.largest);
        sum += value[i];
      }
    }
    total = WarpCombine(total);
    sum = WarpReduce(sum, Add());
    __syncthreads();  // the scratch of the row before may still be read
    if (lane == 0) {
      largest[warp] = total.largest;
      sums[warp] = total.sum;
      plain[warp] = sum;
    }
    __syncthreads();
    if (warp != 0) continue;
    total = lane < warps ? nn::ExpSum<C>{largest[lane], sums[lane]} : nn::EmptyExpSum<C>();
    total = WarpCombine(total);
    sum = WarpReduce(lane < warps ? plain[lane] : C(0), Add());
    if (lane != 0) continue;
    const C log_sum = total.largest + log(total.sum);
    const int64_t target = a.targets[row];
    C loss = 0;
    if (target != a.ignore_index) {
      const bool known = target >= 0 && target < a.classes;
      const C logit = known ? static_cast<C>(Widen(x[target])) : C(NAN);
      loss = nn::CrossEntropyLoss<C>(log_sum, logit, sum / static_cast<C>(a.classes),
                                     static_cast<C>(a.smoothing));
    }
    static_cast<C*>(a.log_sum)[row] = log_sum;
    static_cast<C*>(a.loss)[row] = loss;
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads) BackwardKernel(CrossEntropyBackwardArgs a) {
  using C = ComputeOf<T>;
  const C smoothing = static_cast<C>(a.smoothing);
  const C uniform = smoothing / static_cast<C>(a.classes);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const T* x = static_cast<const T*>(a.logits) + row * a.classes;
    T* dx = static_cast<T*>(a.dlogits) + row * a.classes;
    const int64_t target = a.targets[row];
    const bool ignored = target == a.ignore_index;
    const bool known = target >= 0 && target < a.classes;
    const C log_sum = static_cast<const C*>(a.log_sum)[row];
    const C scale = known ? static_cast<const C*>(a.dloss)[row] : C(NAN);
    for (int64_t v = threadIdx.x; v < a.classes / N; v += blockDim.x) {
      C value[N];
      LoadVector<N>(x, v, value);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const C g =
            nn::CrossEntropyGradient<C>(value[i], log_sum, v * N + i == target, smoothing, uniform);
        value[i] = ignored ? C(0) : scale * g;
      }
      StoreVector<N>(dx, v, value);
    }
  }
}

int Threads(int64_t vectors) {
  const int64_t warps = (vectors + 127) / 128;  // four vectors a thread
  return static_cast<int>(warps < 1 ? 32 : warps > kThreads / 32 ? kThreads : warps * 32);
}

template <class Args>
void Check(const Args& a, const char* kernel) {
  CheckArgument(a.rows >= 0 && a.classes > 0, kernel, a.name, "rows or classes out of range");
  CheckArgument(a.smoothing >= 0 && a.smoothing < 1, kernel, a.name,
                "label smoothing must lie in [0, 1)");
  CheckArgument(
      a.rows == 0 || (a.logits != nullptr && a.targets != nullptr && a.log_sum != nullptr), kernel,
      a.name, "logits, targets or log_sum is null");
}

}  // namespace

void CrossEntropyForward(const CrossEntropyForwardArgs& a, cudaStream_t stream) {
  Check(a, "CrossEntropyForward");
  if (a.rows == 0) return;
  CheckArgument(a.loss != nullptr, "CrossEntropyForward", a.name, "loss is null");
  const int grid = GridSize(a.rows, 1);
  DispatchFloat(a.type, [&](auto t) {
    using T = decltype(t);
    constexpr int kN = kVector<T>;
    if (CanVectorise(a.classes, sizeof(T), a.logits)) {
      ForwardKernel<T, kN><<<grid, Threads(a.classes / kN), 0, stream>>>(a);
    } else {
      ForwardKernel<T, 1><<<grid, Threads(a.classes), 0, stream>>>(a);
    }
  });
  CheckLaunch("CrossEntropyForward", a.name);
}

void CrossEntropyBackward(const CrossEntropyBackwardArgs& a, cudaStream_t stream) {
  Check(a, "CrossEntropyBackward");
  if (a.rows == 0) return;
  CheckArgument(a.dloss != nullptr && a.dlogits != nullptr, "CrossEntropyBackward", a.name,
                "dloss or dlogits is null");
  const int grid = GridSize(a.rows, 1);
  DispatchFloat(a.type, [&](auto t) {
    using T = decltype(t);
    constexpr int kN = kVector<T>;
    if (CanVectorise(a.classes, sizeof(T), a.logits, a.dlogits)) {
      BackwardKernel<T, kN><<<grid, Threads(a.classes / kN), 0, stream>>>(a);
    } else {
      BackwardKernel<T, 1><<<grid, Threads(a.classes), 0, stream>>>(a);
    }
  });
  CheckLaunch("CrossEntropyBackward", a.name);
}

}  // namespace orchard::cuda
