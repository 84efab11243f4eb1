#include "volume/resample.h"

#include "base/error.h"
#include "volume/resample_element.h"

namespace orchard::volume {
namespace {

float Sample(const ResampleArgs& a, const float* source, const SourcePoint& p) {
  const auto [nx, ny, nz] = a.from;
  switch (a.interpolation) {
    case Interpolation::kNearest:
      return source[NearestIndex(p.x, nx) +
                    nx * (NearestIndex(p.y, ny) + ny * NearestIndex(p.z, nz))];
    case Interpolation::kLinear:
      return SampleLinear(source, nx, ny, nz, p.x, p.y, p.z);
    case Interpolation::kCubic:
      return SampleCubic(source, nx, ny, nz, p.x, p.y, p.z);
  }
  return 0;
}

void CheckGrids(const Size3& from, const Size3& to, const char* name) {
  if (Voxels(from) < 1 || Voxels(to) < 1) throw UsageError("a grid without voxels", name);
}

}  // namespace

void Resample(const ResampleArgs& a, ThreadPool& pool) {
  CheckGrids(a.from, a.to, a.name);
  pool.ForEach(a.to[1] * a.to[2], [&](int64_t row) {
    const int64_t j = row % a.to[1], k = row / a.to[1];
    for (int64_t i = 0; i < a.to[0]; ++i) {
      const SourcePoint p = MapVoxel(a.map.m, i, j, k);
      const bool inside =
          a.continue_edges || OverGrid(p.x, p.y, p.z, a.from[0], a.from[1], a.from[2]);
      for (int64_t c = 0; c < a.channels; ++c) {
        a.result[c * Voxels(a.to) + row * a.to[0] + i] =
            inside ? Sample(a, a.source + c * Voxels(a.from), p) : a.outside;
      }
    }
  });
}

template <class L>
void ResampleLabels(const L* source, const Size3& from, const VoxelMap& map, const Size3& to,
                    L* result, ThreadPool& pool) {
  CheckGrids(from, to, "labels");
  pool.ForEach(to[1] * to[2], [&](int64_t row) {
    for (int64_t i = 0; i < to[0]; ++i) {
      const SourcePoint p = MapVoxel(map.m, i, row % to[1], row / to[1]);
      const bool inside = OverGrid(p.x, p.y, p.z, from[0], from[1], from[2]);
      result[row * to[0] + i] =
          inside ? source[IndexOf(from, NearestIndex(p.x, from[0]), NearestIndex(p.y, from[1]),
                                  NearestIndex(p.z, from[2]))]
                 : L(0);
    }
  });
}

template void ResampleLabels(const uint8_t*, const Size3&, const VoxelMap&, const Size3&, uint8_t*,
                             ThreadPool&);
template void ResampleLabels(const uint16_t*, const Size3&, const VoxelMap&, const Size3&,
                             uint16_t*, ThreadPool&);

}  // namespace orchard::volume
