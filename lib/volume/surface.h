// The surfaces of two masks on one grid, and how far each lies from the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "volume/shape.h"

namespace orchard::volume {

// What a surface is made of.
enum class SurfaceKind {
  kSurfel,  // pieces between inside and outside at the corners of the voxel lattice, with their
            // areas
  kVoxel  // voxels of the mask with a face towards the outside (or the image's end), each counting
          // 1
};

// Distances in mm from the elements of one surface to the nearest element of the other, with the
// elements' areas (mm^2; mm in a plane; 1 for voxels), in ascending order of distance and area.
// Infinite where the other surface has no element.
struct SurfaceDistances {
  std::vector<double> distance, area;
};

struct SurfacePair {
  SurfaceDistances reference_to_prediction, prediction_to_reference;
};

// Of a volume that is a plane, the axis along which it has a single voxel (if there is exactly one
// such axis); surfaces are contours in it then. kNotFlat otherwise.
inline constexpr size_t kNotFlat = 3;
size_t FlatAxis(const Size3& size);

// Masks [size] of zeros and ones, which may be cut from a larger volume; `flat` is that one's.
// Around both lies outside, so that surfaces are closed. Distances are exact, computed in double.
SurfacePair CompareSurfaces(std::span<const uint8_t> prediction, std::span<const uint8_t> reference,
                            const Size3& size, const Spacing3& spacing, SurfaceKind kind,
                            size_t flat, ThreadPool& pool);

// The smallest distance at which the elements up to it make `share` of the whole area (searchsorted
// in the cumulative area). Infinity without elements.
double AreaPercentile(const SurfaceDistances& surface, double share);

// The `share` quantile of sorted values with linear interpolation. NaN without values.
double Quantile(std::span<const double> sorted, double share);

// Mean distance, weighted with areas; and the area up to a distance. NaN and 0 without elements.
double MeanDistance(const SurfaceDistances& surface);
double AreaWithin(const SurfaceDistances& surface, double distance);
double TotalArea(const SurfaceDistances& surface);

}  // namespace orchard::volume
