// Union-find over voxels (Komura 2015, Playne and Hawick 2018): every voxel points at a neighbour
// with a smaller index, roots are joined by atomic minima, and at the end everyone points at the
// root.
//
// The atomics decide in which order sets are joined, not what comes out: the root of a set is the
// smallest index in it. Bytes per voxel: labels of half the neighbours, and pointers along short
// paths.
#include <cuda_runtime.h>

#include "cuda/volume/components.h"

namespace orchard::cuda {
namespace {

constexpr int kThreads = 256;

__device__ int32_t Root(const int32_t* parent, int32_t v) {
  int32_t up = parent[v];
  while (up != v) {
    v = up;
    up = parent[v];
  }
  return v;
}

__device__ void Join(int32_t* parent, int32_t a, int32_t b) {
  while (true) {
    a = Root(parent, a);
    b = Root(parent, b);
    if (a == b) return;
    const int32_t high = a > b ? a : b, low = a > b ? b : a;
    const int32_t old = atomicMin(parent + high, low);
    if (old == high || old == low) return;
    // Another thread had moved `high` below `old` meanwhile: that set has to be joined, too.
    a = old;
    b = low;
  }
}

__global__ void __launch_bounds__(kThreads) StartKernel(ComponentArgs a, int64_t voxels) {
  for (int64_t v = blockIdx.x * int64_t{kThreads} + threadIdx.x; v < voxels;
       v += int64_t{gridDim.x} * kThreads)
    a.root[v] = a.labels[v] == 0 ? -1 : static_cast<int32_t>(v);
}

__global__ void __launch_bounds__(kThreads) JoinKernel(ComponentArgs a, int64_t voxels) {
  const int most = a.connectivity == 6 ? 1 : a.connectivity == 18 ? 2 : 3;
  for (int64_t v = blockIdx.x * int64_t{kThreads} + threadIdx.x; v < voxels;
       v += int64_t{gridDim.x} * kThreads) {
    const uint16_t label = a.labels[v];
    if (label == 0) continue;
    const int64_t i = v % a.size[0], j = v / a.size[0] % a.size[1], k = v / a.size[0] / a.size[1];
    // The 13 neighbours before this one.
    for (int n = 0; n < 13; ++n) {
      const int di = n % 3 - 1, dj = n / 3 % 3 - 1, dk = n / 9 - 1;
      if ((di != 0) + (dj != 0) + (dk != 0) > most) continue;
      const int64_t x = i + di, y = j + dj, z = k + dk;
      if (x < 0 || y < 0 || z < 0 || x >= a.size[0] || y >= a.size[1]) continue;
      const int64_t w = x + a.size[0] * (y + a.size[1] * z);
      if (a.labels[w] == label) Join(a.root, static_cast<int32_t>(v), static_cast<int32_t>(w));
    }
  }
}

__global__ void __launch_bounds__(kThreads) FinishKernel(ComponentArgs a, int64_t voxels) {
  for (int64_t v = blockIdx.x * int64_t{kThreads} + threadIdx.x; v < voxels;
       v += int64_t{gridDim.x} * kThreads)
    if (a.root[v] >= 0) a.root[v] = Root(a.root, static_cast<int32_t>(v));
}

}  // namespace

void FindComponents(const ComponentArgs& a, cudaStream_t stream) {
  const int64_t voxels = a.size[0] * a.size[1] * a.size[2];
  CheckArgument(a.size[0] > 0 && a.size[1] > 0 && a.size[2] > 0 && voxels < (int64_t{1} << 31),
                "FindComponents", a.name, "no voxels, or more than 2^31 - 1");
  CheckArgument(a.connectivity == 6 || a.connectivity == 18 || a.connectivity == 26,
                "FindComponents", a.name, "the connectivity is 6, 18 or 26");
  CheckArgument(a.labels != nullptr && a.root != nullptr, "FindComponents", a.name,
                "a pointer is null");
  const int blocks = GridSize(voxels, kThreads);
  StartKernel<<<blocks, kThreads, 0, stream>>>(a, voxels);
  CheckLaunch("FindComponents", a.name);
  JoinKernel<<<blocks, kThreads, 0, stream>>>(a, voxels);
  CheckLaunch("FindComponents", a.name);
  FinishKernel<<<blocks, kThreads, 0, stream>>>(a, voxels);
  CheckLaunch("FindComponents", a.name);
}

}  // namespace orchard::cuda
