// Gathering one grid from another through an affine map: crop, turn, scale and move in one pass.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "volume/sampling.h"
#include "volume/shape.h"

namespace orchard::volume {

// Voxel (i, j, k) of the result takes the source at m * (i, j, k, 1), in voxels of the source.
struct VoxelMap {
  float m[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
};

struct ResampleArgs {
  const char* name = "volume";
  int64_t channels = 1;
  Size3 from = {0, 0, 0}, to = {0, 0, 0};
  VoxelMap map;
  Interpolation interpolation = Interpolation::kLinear;
  float outside = 0;              // of points more than half a voxel off the source
  bool continue_edges = false;    // instead of `outside`: the nearest voxel
  const float* source = nullptr;  // [channels, from]; for kCubic, CubicCoefficients
  float* result = nullptr;        // [channels, to]
};

// CPU twin of cuda/volume/resample.h.
void Resample(const ResampleArgs& args, ThreadPool& pool);

// Label maps by the nearest voxel; points off the source become 0. L: uint8_t, uint16_t.
template <class L>
void ResampleLabels(const L* source, const Size3& from, const VoxelMap& map, const Size3& to,
                    L* result, ThreadPool& pool);

}  // namespace orchard::volume
