// Three sums in one pass: 8 bytes per element. A block adds a chunk of fixed size in double, then
// one block adds the chunks; no atomics, so a run repeats bit by bit.
#include <cuda_runtime.h>

#include "cuda/base/reduce.cuh"
#include "cuda/sync/drift_sums.h"
#include "sync/drift_element.h"

namespace orchard::cuda {
namespace {

using sync::DriftSums;

constexpr int kThreads = 256;
constexpr int64_t kChunk = 16384;

int64_t Chunks(int64_t count) { return (count + kChunk - 1) / kChunk; }

__device__ __forceinline__ void Finish(double (&sum)[3], double* scratch, DriftSums* out) {
  GroupSum(sum, scratch);
  if (threadIdx.x == 0) *out = {sum[0], sum[1], sum[2]};
}

__global__ void __launch_bounds__(kThreads)
    ChunkKernel(int64_t count, const float* values, const float* mean, DriftSums* sums) {
  __shared__ double scratch[3 * 32];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kChunk;
  const int64_t end = begin + kChunk < count ? begin + kChunk : count;
  double sum[3] = {0, 0, 0};
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    sync::AddDrift(values[i], mean[i], sum[0], sum[1], sum[2]);
  }
  Finish(sum, scratch, sums + blockIdx.x);
}

__global__ void __launch_bounds__(kThreads)
    TotalKernel(const DriftSums* sums, int64_t count, DriftSums* out) {
  __shared__ double scratch[3 * 32];
  double sum[3] = {0, 0, 0};
  for (int64_t i = threadIdx.x; i < count; i += kThreads) {
    sum[0] += sums[i].apart;
    sum[1] += sums[i].norm;
    sum[2] += sums[i].not_finite;
  }
  Finish(sum, scratch, out);
}

}  // namespace

int64_t DriftWorkspace(int64_t count) {
  return Chunks(count) * static_cast<int64_t>(sizeof(DriftSums));
}

void SumDrift(int64_t count, const float* values, const float* mean, void* workspace,
              DriftSums* sums, cudaStream_t stream) {
  CheckArgument(count > 0 && count <= kChunk * INT32_MAX, "SumDrift", "model",
                "has a size out of range");
  CheckArgument(values != nullptr && mean != nullptr && workspace != nullptr && sums != nullptr,
                "SumDrift", "", "a pointer is null");
  auto* const chunks = static_cast<DriftSums*>(workspace);
  ChunkKernel<<<static_cast<unsigned>(Chunks(count)), kThreads, 0, stream>>>(count, values, mean,
                                                                             chunks);
  TotalKernel<<<1, kThreads, 0, stream>>>(chunks, Chunks(count), sums);
  CheckLaunch("SumDrift", "");
}

}  // namespace orchard::cuda
