// Softmax, cross-entropy and soft Dice over logits of any strides.
//
// Sums. A block owns 4096 voxels of one image. Each thread keeps the largest logit and the sum of
// exponentials of its 16 voxels in registers; then the block takes one class after the other, whose
// three sums are reduced in a fixed order. A second kernel adds the blocks in order: no atomics.
// Bytes per voxel: the logits are read three times, the second and third time from L2, and no
// probability is stored. Gradient. One thread a voxel: the logits are read, and the gradient
// written once; probabilities are recomputed. Sizes presumed: 2 to 120 classes, 10^4 to 10^7
// voxels.
#include <cuda_runtime.h>

#include "cuda/base/reduce.cuh"
#include "cuda/segment/loss_kernel.h"
#include "segment/loss_element.h"

namespace orchard::cuda {
namespace {

using segment::LossArgs;

constexpr int kThreads = 256, kVoxels = 16;  // a thread's
constexpr int64_t kBlock = int64_t{kThreads} * kVoxels;
constexpr const char* kName = "SegmentationLoss";

template <class T>
struct Softmax {
  T most, sum;
};

template <class T>
__device__ __forceinline__ Softmax<T> Scan(const T* logits, int64_t classes, int64_t stride) {
  Softmax<T> s = {logits[0], 0};
  for (int64_t c = 1; c < classes; ++c) s.most = fmax(s.most, logits[c * stride]);
  for (int64_t c = 0; c < classes; ++c) s.sum += Exp(logits[c * stride] - s.most);
  return s;
}

template <class T>
__global__ void __launch_bounds__(kThreads) SumKernel(LossArgs<T> a, double* partials) {
  __shared__ T scratch[3 * 32];
  const int64_t image = blockIdx.y, first = blockIdx.x * kBlock;
  const int64_t width = 3 * a.classes + 2;
  double* const out = partials + (image * gridDim.x + blockIdx.x) * width;
  const T* const logits = a.logits + image * a.image_stride;
  Softmax<T> s[kVoxels];
  int label[kVoxels];  // -1: not counted
  T ce[2] = {0, 0};    // and how many
#pragma unroll
  for (int n = 0; n < kVoxels; ++n) {
    const int64_t voxel = first + n * kThreads + threadIdx.x;
    label[n] = -1;
    if (voxel >= a.voxels) continue;
    const uint8_t own = a.labels[image * a.voxels + voxel];
    if (own >= a.classes) continue;
    label[n] = own;
    const T* const at = logits + voxel * a.voxel_stride;
    s[n] = Scan(at, a.classes, a.class_stride);
    ce[0] += s[n].most + log(s[n].sum) - at[own * a.class_stride];
    ce[1] += T(1);
  }
  for (int64_t c = 0; c < a.classes; ++c) {
    T sums[3] = {0, 0, 0};
#pragma unroll
    for (int n = 0; n < kVoxels; ++n) {
      if (label[n] < 0) continue;
      const int64_t voxel = first + n * kThreads + threadIdx.x;
      const T p = Exp(logits[voxel * a.voxel_stride + c * a.class_stride] - s[n].most) / s[n].sum;
      sums[1] += p;
      if (label[n] != c) continue;
      sums[0] += p;
      sums[2] += T(1);
    }
    GroupSum(sums, scratch);
    if (threadIdx.x != 0) continue;
    for (int part = 0; part < 3; ++part)
      out[part * a.classes + c] = static_cast<double>(sums[part]);
  }
  GroupSum(ce, scratch);
  if (threadIdx.x != 0) return;
  out[3 * a.classes] = static_cast<double>(ce[0]);
  out[3 * a.classes + 1] = static_cast<double>(ce[1]);
}

__global__ void AddBlocksKernel(const double* partials, int64_t blocks, int64_t width,
                                double* sums) {
  const int64_t image = blockIdx.x;
  for (int64_t n = threadIdx.x; n < width; n += blockDim.x) {
    double sum = 0;
    for (int64_t b = 0; b < blocks; ++b) sum += partials[(image * blocks + b) * width + n];
    sums[image * width + n] = sum;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    GradientKernel(LossArgs<T> a, T ce_scale, const double* inside, const double* outside,
                   T* gradient) {
  const int64_t count = a.batch * a.voxels;
  for (int64_t n = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; n < count;
       n += static_cast<int64_t>(gridDim.x) * kThreads) {
    const int64_t image = n / a.voxels;
    const int64_t at = image * a.image_stride + n % a.voxels * a.voxel_stride;
    const uint8_t label = a.labels[n];
    const bool counted = label < a.classes;
    const T* const logits = a.logits + at;
    const Softmax<T> s = Scan(logits, a.classes, a.class_stride);
    const auto slope = [&](int64_t c) {
      return static_cast<T>((label == c ? inside : outside)[image * a.classes + c]);
    };
    T mean = 0;
    for (int64_t c = 0; c < a.classes; ++c)
      mean += slope(c) * (Exp(logits[c * a.class_stride] - s.most) / s.sum);
    for (int64_t c = 0; c < a.classes; ++c) {
      const T p = Exp(logits[c * a.class_stride] - s.most) / s.sum;
      const T hit = label == c ? T(1) : T(0);
      gradient[at + c * a.class_stride] =
          counted ? p * (slope(c) - mean) + ce_scale * (p - hit) : T(0);
    }
  }
}

int64_t Blocks(int64_t voxels) { return (voxels + kBlock - 1) / kBlock; }

}  // namespace

int64_t LossPartials(int64_t batch, int64_t classes, int64_t voxels) {
  return batch * Blocks(voxels) * (3 * classes + 2);
}

template <class T>
void SumLoss(const LossArgs<T>& a, double* partials, double* sums, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(Blocks(a.voxels)), static_cast<unsigned>(a.batch));
  SumKernel<T><<<grid, kThreads, 0, stream>>>(a, partials);
  CheckLaunch(kName, "logits");
  AddBlocksKernel<<<static_cast<unsigned>(a.batch), kThreads, 0, stream>>>(
      partials, Blocks(a.voxels), 3 * a.classes + 2, sums);
  CheckLaunch(kName, "sums");
}

template <class T>
void LossGradient(const LossArgs<T>& a, double ce_scale, const double* inside,
                  const double* outside, T* gradient, cudaStream_t stream) {
  GradientKernel<T><<<GridSize(a.batch * a.voxels, kThreads), kThreads, 0, stream>>>(
      a, static_cast<T>(ce_scale), inside, outside, gradient);
  CheckLaunch(kName, "gradient");
}

template void SumLoss(const LossArgs<float>&, double*, double*, cudaStream_t);
template void SumLoss(const LossArgs<double>&, double*, double*, cudaStream_t);
template void LossGradient(const LossArgs<float>&, double, const double*, const double*, float*,
                           cudaStream_t);
template void LossGradient(const LossArgs<double>&, double, const double*, const double*, double*,
                           cudaStream_t);

}  // namespace orchard::cuda
