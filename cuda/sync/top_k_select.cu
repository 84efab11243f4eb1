// Exact top-k by radix selection. A block takes one tensor: it finds the magnitude of the k-th
// largest element eight bits at a time, counting in shared memory how many elements have each value
// of the next eight bits (the counts are whole numbers, so their order does not matter), and then
// writes the places of what is above, and of the first of those that are equal, in order.
//
// Bytes per element: a read for every eight bits of the type and one more, 20 in f32; the later
// ones come from L2 where the tensor fits it. One block per tensor leaves a GPU idle for networks
// of few, large tensors.
#include <cuda_runtime.h>

#include "cuda/base/reduce.cuh"
#include "cuda/sync/top_k_select.h"

namespace orchard::cuda {
namespace {

using sync::TopKArgs;
using sync::TopKSegment;

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;

// Magnitudes as integers of the same order; NaN as infinity.
__device__ __forceinline__ uint32_t KeyOf(float value) {
  const uint32_t bits = __float_as_uint(value) & 0x7FFFFFFFu;
  return bits > 0x7F800000u ? 0x7F800000u : bits;
}
__device__ __forceinline__ uint64_t KeyOf(double value) {
  const uint64_t bits = static_cast<uint64_t>(__double_as_longlong(value)) & 0x7FFFFFFFFFFFFFFFull;
  return bits > 0x7FF0000000000000ull ? 0x7FF0000000000000ull : bits;
}

// How many of the threads before this one say yes; `total` of all.
__device__ __forceinline__ int CountBefore(bool yes, int* warps, int& total) {
  const unsigned votes = __ballot_sync(0xFFFFFFFFu, yes);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  __syncthreads();  // the counts of the call before may still be read
  if (lane == 0) warps[warp] = __popc(votes);
  __syncthreads();
  int before = __popc(votes & ((1u << lane) - 1));
  total = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) before += warps[w];
    total += warps[w];
  }
  return before;
}

template <class T>
__global__ void __launch_bounds__(kThreads) SelectKernel(TopKArgs<T> a) {
  using Key = decltype(KeyOf(T{}));
  __shared__ int counts[256];
  __shared__ int warps[kWarps];
  __shared__ int chosen;
  __shared__ int64_t left;
  const TopKSegment s = a.segments[blockIdx.x];
  const T* const values = a.values + s.offset;
  Key prefix = 0;              // of the threshold, as far as it is known
  int64_t remaining = s.kept;  // rank of the threshold among the elements with that prefix
  for (int shift = 8 * static_cast<int>(sizeof(Key)) - 8; shift >= 0; shift -= 8) {
    if (threadIdx.x < 256) counts[threadIdx.x] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < s.count; i += kThreads) {
      const Key key = KeyOf(values[i]);
      // The bits above these eight; none at first.
      const bool same = shift + 8 >= 8 * static_cast<int>(sizeof(Key)) ||
                        key >> (shift + 8) == prefix >> (shift + 8);
      if (same) atomicAdd(&counts[static_cast<int>(key >> shift & 255)], 1);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int64_t rank = remaining;
      int digit = 255;
      while (rank > counts[digit]) rank -= counts[digit--];
      chosen = digit;
      left = rank;
    }
    __syncthreads();
    prefix |= static_cast<Key>(chosen) << shift;
    remaining = left;
    __syncthreads();
  }
  // `remaining` of the elements that equal the threshold are taken.
  int64_t ties = 0, written = 0;
  for (int64_t begin = 0; begin < s.count; begin += kThreads) {
    const int64_t i = begin + threadIdx.x;
    const Key key = i < s.count ? KeyOf(values[i]) : Key(0);
    const bool equal = i < s.count && key == prefix;
    int all_equal, all_taken;
    const int before = CountBefore(equal, warps, all_equal);
    const bool taken = i < s.count && (key > prefix || (equal && ties + before < remaining));
    const int place = CountBefore(taken, warps, all_taken);
    if (taken) a.places[s.out + written + place] = static_cast<int32_t>(s.offset + i);
    ties += all_equal;
    written += all_taken;
  }
}

}  // namespace

template <class T>
void SelectTopK(const TopKArgs<T>& a, cudaStream_t stream) {
  CheckArgument(a.segment_count >= 0, "SelectTopK", "segments", "have a negative number");
  if (a.segment_count == 0) return;
  CheckArgument(a.values != nullptr && a.segments != nullptr && a.places != nullptr, "SelectTopK",
                "", "a pointer is null");
  SelectKernel<T><<<static_cast<unsigned>(a.segment_count), kThreads, 0, stream>>>(a);
  CheckLaunch("SelectTopK", "");
}

template void SelectTopK(const TopKArgs<float>&, cudaStream_t);
template void SelectTopK(const TopKArgs<double>&, cudaStream_t);

}  // namespace orchard::cuda
