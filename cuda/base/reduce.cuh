// Reductions in a fixed order: butterflies in a warp, then over the warps of the group through
// shared memory. No atomics, so the same input gives the same bits in every run.
#pragma once

namespace orchard::cuda {

struct Add {
  template <class C>
  __device__ __forceinline__ C operator()(C a, C b) const {
    return a + b;
  }
};

struct Max {
  template <class C>
  __device__ __forceinline__ C operator()(C a, C b) const {
    return a > b ? a : b;
  }
};

// All 32 lanes get the result.
template <class C, class Op>
__device__ __forceinline__ C WarpReduce(C value, Op op) {
#pragma unroll
  for (int offset = 16; offset > 0; offset >>= 1) {
    value = op(value, __shfl_xor_sync(0xFFFFFFFFu, value, offset));
  }
  return value;
}

// Sums `K` values over the threads of a row group: the warp when blockDim.x is 32, else the whole
// block (blockDim.y is 1 then). `scratch` holds 32 * K values. Every thread of the block must call
// it; all get the sums.
template <int K, class C>
__device__ __forceinline__ void GroupSum(C (&value)[K], C* scratch) {
#pragma unroll
  for (int k = 0; k < K; ++k) value[k] = WarpReduce(value[k], Add());
  if (blockDim.x == 32) return;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  __syncthreads();  // the scratch of the call before may still be read
  if (lane == 0) {
#pragma unroll
    for (int k = 0; k < K; ++k) scratch[k * 32 + warp] = value[k];
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; ++k) {
    value[k] = WarpReduce(lane < warps ? scratch[k * 32 + lane] : C(0), Add());
  }
}

}  // namespace orchard::cuda
