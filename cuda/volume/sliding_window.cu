// One thread a voxel of a window (or of the volume); all are bound by memory. Bytes per voxel:
// gather one read and one write, add two reads and one write, normalise one of each. Windows are
// added one after the other on a stream, so no voxel is written by two threads.
#include <cuda_runtime.h>

#include "cuda/volume/sliding_window.h"
#include "volume/window_element.h"

namespace orchard::cuda {
namespace {

constexpr int kThreads = 256;

// Index in the volume of voxel `v` of the window, or -1 outside.
__device__ int64_t InVolume(const WindowArgs& a, int64_t v, int64_t (&at)[3]) {
  at[0] = v % a.patch[0];
  at[1] = v / a.patch[0] % a.patch[1];
  at[2] = v / a.patch[0] / a.patch[1] % a.patch[2];
  const int64_t channel = v / a.patch[0] / a.patch[1] / a.patch[2];
  int64_t x[3];
  for (int axis = 0; axis < 3; ++axis) {
    x[axis] = a.start[axis] + at[axis];
    if (x[axis] < 0 || x[axis] >= a.size[axis]) return -1;
  }
  return x[0] + a.size[0] * (x[1] + a.size[1] * (x[2] + a.size[2] * channel));
}

__global__ void __launch_bounds__(kThreads) GatherKernel(WindowArgs a, int64_t count) {
  for (int64_t v = blockIdx.x * int64_t{kThreads} + threadIdx.x; v < count;
       v += int64_t{gridDim.x} * kThreads) {
    int64_t at[3];
    const int64_t from = InVolume(a, v, at);
    a.window[v] = from < 0 ? a.outside : a.volume[from];
  }
}

__global__ void __launch_bounds__(kThreads) AddKernel(WindowArgs a, int64_t count) {
  for (int64_t v = blockIdx.x * int64_t{kThreads} + threadIdx.x; v < count;
       v += int64_t{gridDim.x} * kThreads) {
    int64_t at[3];
    const int64_t to = InVolume(a, v, at);
    if (to < 0) continue;
    a.volume[to] = volume::AddWeighted(a.volume[to], a.window[v], a.weights[0][at[0]],
                                       a.weights[1][at[1]] * a.weights[2][at[2]]);
  }
}

__global__ void __launch_bounds__(kThreads) NormalizeKernel(NormalizeArgs a, int64_t count) {
  for (int64_t v = blockIdx.x * int64_t{kThreads} + threadIdx.x; v < count;
       v += int64_t{gridDim.x} * kThreads) {
    const int64_t i = v % a.size[0], j = v / a.size[0] % a.size[1];
    const int64_t k = v / a.size[0] / a.size[1] % a.size[2];
    a.volume[v] =
        volume::NormalizeWeighted(a.volume[v], a.inverse[0][i], a.inverse[1][j] * a.inverse[2][k]);
  }
}

int64_t CheckedCount(const WindowArgs& a, const char* kernel) {
  for (int x = 0; x < 3; ++x)
    CheckArgument(a.size[x] > 0 && a.patch[x] > 0, kernel, a.name, "an axis without voxels");
  CheckArgument(a.volume != nullptr && a.window != nullptr, kernel, a.name, "a pointer is null");
  return a.channels * a.patch[0] * a.patch[1] * a.patch[2];
}

}  // namespace

void GatherWindow(const WindowArgs& a, cudaStream_t stream) {
  const int64_t count = CheckedCount(a, "GatherWindow");
  GatherKernel<<<GridSize(count, kThreads), kThreads, 0, stream>>>(a, count);
  CheckLaunch("GatherWindow", a.name);
}

void AddWindow(const WindowArgs& a, cudaStream_t stream) {
  const int64_t count = CheckedCount(a, "AddWindow");
  for (int x = 0; x < 3; ++x)
    CheckArgument(a.weights[x] != nullptr, "AddWindow", a.name, "weights are null");
  AddKernel<<<GridSize(count, kThreads), kThreads, 0, stream>>>(a, count);
  CheckLaunch("AddWindow", a.name);
}

void NormalizeWindows(const NormalizeArgs& a, cudaStream_t stream) {
  for (int x = 0; x < 3; ++x)
    CheckArgument(a.size[x] > 0 && a.inverse[x] != nullptr, "NormalizeWindows", a.name,
                  "an axis is empty");
  CheckArgument(a.volume != nullptr, "NormalizeWindows", a.name, "a pointer is null");
  const int64_t count = a.channels * a.size[0] * a.size[1] * a.size[2];
  NormalizeKernel<<<GridSize(count, kThreads), kThreads, 0, stream>>>(a, count);
  CheckLaunch("NormalizeWindows", a.name);
}

}  // namespace orchard::cuda
