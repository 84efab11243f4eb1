// One thread a voxel of the result: its place in the source is computed once and used for all
// channels. Writes are coalesced; reads are as scattered as the map turns. Bytes per voxel and
// channel: one write, and the voxels of the source once where the cache holds a neighbourhood of
// them.
#include <cuda_runtime.h>

#include "cuda/volume/resample.h"
#include "volume/resample_element.h"

namespace orchard::cuda {
namespace {

using volume::Interpolation;
using volume::ResampleArgs;
using volume::SourcePoint;

constexpr int kThreads = 256;

struct Grids {
  int64_t nx, ny, nz, to_x, to_y, to_voxels, from_voxels, channels;
};

template <Interpolation how>
__device__ float Sample(const float* source, const Grids& g, const SourcePoint& p) {
  if constexpr (how == Interpolation::kLinear)
    return volume::SampleLinear(source, g.nx, g.ny, g.nz, p.x, p.y, p.z);
  else if constexpr (how == Interpolation::kCubic)
    return volume::SampleCubic(source, g.nx, g.ny, g.nz, p.x, p.y, p.z);
  else
    return source[volume::NearestIndex(p.x, g.nx) +
                  g.nx *
                      (volume::NearestIndex(p.y, g.ny) + g.ny * volume::NearestIndex(p.z, g.nz))];
}

template <Interpolation how>
__global__ void __launch_bounds__(kThreads)
    ResampleKernel(const float* source, float* result, Grids g, volume::VoxelMap map, float outside,
                   bool continue_edges) {
  for (int64_t v = blockIdx.x * int64_t{kThreads} + threadIdx.x; v < g.to_voxels;
       v += int64_t{gridDim.x} * kThreads) {
    const SourcePoint p =
        volume::MapVoxel(map.m, v % g.to_x, v / g.to_x % g.to_y, v / g.to_x / g.to_y);
    const bool inside = continue_edges || volume::OverGrid(p.x, p.y, p.z, g.nx, g.ny, g.nz);
    for (int64_t c = 0; c < g.channels; ++c)
      result[c * g.to_voxels + v] =
          inside ? Sample<how>(source + c * g.from_voxels, g, p) : outside;
  }
}

}  // namespace

void Resample(const ResampleArgs& a, cudaStream_t stream) {
  const Grids g = {a.from[0],
                   a.from[1],
                   a.from[2],
                   a.to[0],
                   a.to[1],
                   volume::Voxels(a.to),
                   volume::Voxels(a.from),
                   a.channels};
  CheckArgument(g.from_voxels > 0 && g.to_voxels > 0 && g.channels > 0, "Resample", a.name,
                "a grid without voxels");
  CheckArgument(a.source != nullptr && a.result != nullptr, "Resample", a.name,
                "a pointer is null");
  const int blocks = GridSize(g.to_voxels, kThreads);
  const auto launch = [&](auto kernel) {
    kernel<<<blocks, kThreads, 0, stream>>>(a.source, a.result, g, a.map, a.outside,
                                            a.continue_edges);
  };
  if (a.interpolation == Interpolation::kNearest)
    launch(ResampleKernel<Interpolation::kNearest>);
  else if (a.interpolation == Interpolation::kLinear)
    launch(ResampleKernel<Interpolation::kLinear>);
  else
    launch(ResampleKernel<Interpolation::kCubic>);
  CheckLaunch("Resample", a.name);
}

}  // namespace orchard::cuda
