// Columns of the target that no source column feeds: zeros or noise.
#pragma once

#include "cuda/base/reduce.cuh"
#include "cuda/expand/weight_parts.cuh"

namespace orchard::cuda {

using expand::PadFill;

// The noise of elements visited in ascending order: a block is drawn once for those it serves.
class NoiseInOrder {
 public:
  __device__ explicit NoiseInOrder(Philox2 key) : key_(key) {}
  __device__ __forceinline__ int32_t At(int64_t index) {
    const uint64_t element = static_cast<uint64_t>(index);
    if (element / 4 != drawn_) {
      drawn_ = element / 4;
      block_ = expand::NoiseBlock(key_, drawn_);
    }
    const uint32_t low = element & 1u ? block_.word[1] : block_.word[0];
    const uint32_t high = element & 1u ? block_.word[3] : block_.word[2];
    return expand::NoiseOfWord(element & 2u ? high : low);
  }

 private:
  Philox2 key_;
  uint64_t drawn_ = ~uint64_t{0};
  Philox4 block_;
};

// One warp for the padding of one row and passenger, four columns a lane at a time: the sum of its
// noise first, where it is to be centred.
template <class T>
__global__ void __launch_bounds__(kThreads)
    Padding(ExpandMatrixArgs a, Constants<T> c, ComputeOf<T> unit) {
  using Real = ComputeOf<T>;
  constexpr int kRun = 4;
  const int lane = threadIdx.x % 32;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * (kThreads / 32);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32;
  const int64_t row_begin = a.transposed ? 0 : c.range.begin;
  const int64_t row_end = a.transposed ? a.target_rows : c.range.end;
  const auto each = [&](int64_t i, int64_t p, const auto& visit) {
    NoiseInOrder noise(a.key);
    for (int64_t n = kRun * lane; n < a.pad_count; n += 32 * kRun) {
      for (int64_t m = n; m < a.pad_count && m < n + kRun; ++m) {
        const int64_t at = c.to.At(i, a.pads[m], p);
        visit(a.pads[m], at, a.pad_fill == PadFill::kZero ? 0 : noise.At(at));
      }
    }
  };
  for (int64_t row = row_begin * a.passengers + first; row < row_end * a.passengers; row += warps) {
    const int64_t i = row / a.passengers, p = row % a.passengers;
    long long sum = 0;
    if (a.pad_fill == PadFill::kCentredNoise) {
      each(i, p, [&](int64_t, int64_t, int32_t noise) { sum += noise; });
      sum = WarpReduce(sum, Add());
    }
    each(i, p, [&](int64_t column, int64_t at, int32_t noise) {
      T* out = c.Written(a, a.transposed ? column : i, at);
      if (out == nullptr) return;
      Real value = 0;
      if (a.pad_fill == PadFill::kNoise) value = unit * static_cast<Real>(noise);
      if (a.pad_fill == PadFill::kCentredNoise) {
        value = expand::CentredPadElement(unit, noise, static_cast<int64_t>(sum), a.pad_count);
      }
      *out = Narrow<T>(value);
    });
  }
}

}  // namespace orchard::cuda
