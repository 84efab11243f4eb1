// Exact Euclidean distances on anisotropic grids, axis by axis: distances within rows first, then
// for each voxel the best of its column, f(x) = min over y of f(y) + (w (x - y))^2.
//
// The minimum is searched outwards from each voxel for sixteen neighbouring columns at a time, and
// ends when (w r)^2 exceeds what was found: in images most voxels are near a border, and this beats
// the lower envelope of parabolas (Felzenszwalb and Huttenlocher 2012) several times over. Columns
// where it goes far are given to the envelope.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "volume/shape.h"

namespace orchard::volume {

template <class L, class T>
struct DistanceArgs {
  const char* name = "labels";
  Size3 size = {0, 0, 0};
  Spacing3 spacing = {1, 1, 1};
  bool border = false;        // what lies outside the volume counts as another label
  const L* labels = nullptr;  // [size]
  T* squared = nullptr;       // [size], squared millimetres
};

// For every voxel the squared distance from its centre to the nearest centre of a voxel of another
// label; 0 for label 0, infinity where there is no other label. L: uint8_t, uint16_t, int32_t; T:
// float or double. In double each value is ((w0 di)^2 + (w1 dj)^2) + (w2 dk)^2 as scipy computes
// it. CPU twin of cuda/volume/distance.h, which agrees to rounding. Throws UsageError for spacings
// that are not positive.
template <class L, class T>
void SquaredDistances(const DistanceArgs<L, T>& args, ThreadPool& pool);

// The squared distances to the nearest voxel with 0 in `mask`, at the voxels `where` (indices)
// only: the last axis is searched for these alone.
std::vector<double> SquaredDistancesAt(const std::vector<uint8_t>& mask, const Size3& size,
                                       const Spacing3& spacing, const std::vector<int64_t>& where,
                                       ThreadPool& pool);

}  // namespace orchard::volume
