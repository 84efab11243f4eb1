// Largest difference, KL divergence and top-1 agreement of two rows of logits, in one pass over
// both.
//
// One block a row. Each thread keeps running sums of exponentials relative to its largest logits
// (rescaled when larger ones come), in f64 because differences down to 1e-15 are reported; the
// threads' states are merged pairwise through shared memory in a fixed order. Bytes per class: one
// read of a and of b. Bound by the f64 exponentials (two a class), not by memory: it checks, it
// does not train.
#include <cuda_runtime.h>

#include "cuda/expand/logits_compare.h"
#include "expand/logits_element.h"

namespace orchard::cuda {
namespace {

using expand::LogitsCompareArgs;
using expand::LogitsState;

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads) CompareKernel(LogitsCompareArgs args) {
  // LogitsState has initialisers, which shared memory cannot run: raw bytes instead.
  __shared__ alignas(8) unsigned char bytes[kThreads * sizeof(LogitsState)];
  LogitsState* states = reinterpret_cast<LogitsState*>(bytes);
  for (int64_t row = blockIdx.x; row < args.rows; row += gridDim.x) {
    const T* a = static_cast<const T*>(args.a) + row * args.classes;
    const T* b = static_cast<const T*>(args.b) + row * args.classes;
    LogitsState state;
    for (int64_t c = threadIdx.x; c < args.classes; c += kThreads) {
      expand::AddClass(state, c, static_cast<double>(Widen(a[c])),
                       static_cast<double>(Widen(b[c])));
    }
    __syncthreads();  // the states of the row before may still be read
    states[threadIdx.x] = state;
    for (int half = kThreads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (threadIdx.x < half) {
        states[threadIdx.x] = expand::Merge(states[threadIdx.x], states[threadIdx.x + half]);
      }
    }
    if (threadIdx.x == 0) {
      const LogitsState& s = states[0];
      args.result[row] = {s.max_difference, s.max_logit, expand::KullbackLeibler(s),
                          s.top_a == s.top_b};
    }
  }
}

}  // namespace

void LogitsCompare(const LogitsCompareArgs& args, cudaStream_t stream) {
  CheckArgument(args.rows >= 0 && args.classes > 0, "LogitsCompare", args.name,
                "there are no classes");
  if (args.rows == 0) return;
  CheckArgument(args.a != nullptr && args.b != nullptr && args.result != nullptr, "LogitsCompare",
                args.name, "a pointer is null");
  const int grid = GridSize(args.rows, 1);
  DispatchFloat(args.type,
                [&](auto t) { CompareKernel<decltype(t)><<<grid, kThreads, 0, stream>>>(args); });
  CheckLaunch("LogitsCompare", args.name);
}

}  // namespace orchard::cuda
