// Exact Euclidean distances: within rows, then f(x) = min over y of f(y) + (w (x - y))^2 along the
// other axes.
//
// A thread has one voxel and searches outwards until (w r)^2 exceeds what it found. Neighbouring
// threads have neighbouring voxels along i, so every step of a warp along j and k reads one line of
// 128 bytes, and voxels near each other stop after about as many steps. Bytes per voxel and pass:
// one read and one write, plus two reads a step, which mostly hit the cache: planes of neighbouring
// threads overlap.
#include <cuda_runtime.h>

#include <cmath>

#include "cuda/volume/distance.h"
#include "volume/distance_element.h"

namespace orchard::cuda {
namespace {

using volume::DistanceArgs;
using volume::SquaredSteps;

constexpr int kThreads = 256;

struct Axis {
  int64_t length, stride;
};

template <class L, class T>
__global__ void __launch_bounds__(kThreads)
    RowKernel(const L* labels, T* squared, int64_t voxels, int64_t length, T step, bool border) {
  const T far = static_cast<T>(INFINITY);
  for (int64_t v = blockIdx.x * int64_t{kThreads} + threadIdx.x; v < voxels;
       v += int64_t{gridDim.x} * kThreads) {
    const L label = labels[v];
    if (label == 0) {
      squared[v] = 0;
      continue;
    }
    const int64_t x = v % length;
    T best = far;
    for (int64_t r = 1;; ++r) {
      const bool left = x - r >= 0, right = x + r < length;
      const bool other =
          (left ? labels[v - r] != label : border) || (right ? labels[v + r] != label : border);
      if (other) {
        best = SquaredSteps(step, static_cast<T>(r));
        break;
      }
      if (!left && !right) break;
    }
    squared[v] = best;
  }
}

template <class L, class T>
__global__ void __launch_bounds__(kThreads)
    ColumnKernel(const L* labels, const T* found, T* squared, int64_t voxels, Axis axis, T step,
                 bool border) {
  for (int64_t v = blockIdx.x * int64_t{kThreads} + threadIdx.x; v < voxels;
       v += int64_t{gridDim.x} * kThreads) {
    T best = found[v];
    const L label = labels[v];
    const int64_t x = v / axis.stride % axis.length;
    for (int64_t r = 1;; ++r) {
      const T further = SquaredSteps(step, static_cast<T>(r));
      if (!(best > further)) break;
      const bool left = x - r >= 0, right = x + r < axis.length;
      for (int side = 0; side < 2; ++side) {
        const bool inside = side == 0 ? left : right;
        const int64_t at = side == 0 ? v - r * axis.stride : v + r * axis.stride;
        // A voxel of another label, or the end where it counts as one, is at this very distance.
        const bool other = inside ? labels[at] != label : border;
        const T candidate = other ? further : inside ? found[at] + further : best;
        best = candidate < best ? candidate : best;
      }
      if (!left && !right) break;
    }
    squared[v] = best;
  }
}

}  // namespace

template <class L, class T>
void SquaredDistances(const DistanceArgs<L, T>& a, T* scratch, cudaStream_t stream) {
  for (size_t x = 0; x < 3; ++x) {
    CheckArgument(a.size[x] > 0, "SquaredDistances", a.name, "an axis without voxels");
    CheckArgument(a.spacing[x] > 0, "SquaredDistances", a.name, "a spacing that is not positive");
  }
  CheckArgument(a.labels != nullptr && a.squared != nullptr && scratch != nullptr,
                "SquaredDistances", a.name, "a pointer is null");
  const int64_t voxels = volume::Voxels(a.size);
  const int blocks = GridSize(voxels, kThreads);
  RowKernel<<<blocks, kThreads, 0, stream>>>(a.labels, a.squared, voxels, a.size[0],
                                             static_cast<T>(a.spacing[0]), a.border);
  CheckLaunch("SquaredDistances", a.name);
  ColumnKernel<<<blocks, kThreads, 0, stream>>>(a.labels, a.squared, scratch, voxels,
                                                Axis{a.size[1], a.size[0]},
                                                static_cast<T>(a.spacing[1]), a.border);
  CheckLaunch("SquaredDistances", a.name);
  ColumnKernel<<<blocks, kThreads, 0, stream>>>(a.labels, scratch, a.squared, voxels,
                                                Axis{a.size[2], a.size[0] * a.size[1]},
                                                static_cast<T>(a.spacing[2]), a.border);
  CheckLaunch("SquaredDistances", a.name);
}

#define ORCHARD_DISTANCES(L)                                                           \
  template void SquaredDistances(const DistanceArgs<L, float>&, float*, cudaStream_t); \
  template void SquaredDistances(const DistanceArgs<L, double>&, double*, cudaStream_t);
ORCHARD_DISTANCES(uint8_t)
ORCHARD_DISTANCES(uint16_t)
ORCHARD_DISTANCES(int32_t)
#undef ORCHARD_DISTANCES

}  // namespace orchard::cuda
