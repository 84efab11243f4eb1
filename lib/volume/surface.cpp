#include "volume/surface.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/simd.h"
#include "volume/distance.h"
#include "volume/surface_codes.h"

namespace orchard::volume {
namespace {

constexpr double kFar = std::numeric_limits<double>::infinity();

// A mask with a voxel of outside around it.
struct Padded {
  Size3 size;
  std::vector<uint8_t> inside;
};

Padded Pad(std::span<const uint8_t> mask, const Size3& size) {
  Padded padded{{size[0] + 2, size[1] + 2, size[2] + 2}, {}};
  padded.inside.assign(static_cast<size_t>(Voxels(padded.size)), 0);
  for (int64_t k = 0; k < size[2]; ++k) {
    for (int64_t j = 0; j < size[1]; ++j)
      std::memcpy(padded.inside.data() + IndexOf(padded.size, 1, j + 1, k + 1),
                  mask.data() + IndexOf(size, 0, j, k), static_cast<size_t>(size[0]));
  }
  return padded;
}

// Where a surface is: the elements in the order of the grid, their areas, and the grid with zeros
// there and ones elsewhere.
struct Surface {
  std::vector<int64_t> where;
  std::vector<double> area;
  std::vector<uint8_t> elsewhere;
};

// codes[x] from four rows of padded voxels, each read at x and x + 1.
ORCHARD_SIMD void RowCodes(const uint8_t* r00, const uint8_t* r10, const uint8_t* r01,
                           const uint8_t* r11, int64_t count, uint8_t* codes) {
#pragma omp simd
  for (int64_t x = 0; x < count; ++x) {
    const unsigned a = r00[x] | r00[x + 1] << 1, b = r10[x] | r10[x + 1] << 1;
    const unsigned c = r01[x] | r01[x + 1] << 1, d = r11[x] | r11[x + 1] << 1;
    codes[x] = static_cast<uint8_t>(a | b << 2 | c << 4 | d << 6);
  }
}

// faces[x]: the voxel is inside and one of its six neighbours is not.
ORCHARD_SIMD void RowFaces(const uint8_t* here, int64_t up, int64_t above, int64_t count,
                           uint8_t* faces) {
#pragma omp simd
  for (int64_t x = 0; x < count; ++x) {
    const uint8_t* const v = here + x;
    const unsigned all = v[-1] & v[1] & v[-up] & v[up] & v[-above] & v[above];
    faces[x] = static_cast<uint8_t>(v[0] & ~all & 1u);
  }
}

// Appends the elements of one row: entries that are neither 0 nor `whole`.
void Collect(const uint8_t* row, int64_t count, uint8_t whole, int64_t first,
             const std::array<double, 256>& areas, Surface& surface) {
  uint64_t empty = 0, full = 0;
  std::memset(&full, whole, sizeof(full));
  for (int64_t x = 0; x < count;) {
    uint64_t word = 0;
    if (x + 8 <= count && (std::memcpy(&word, row + x, 8), word == empty || word == full)) {
      x += 8;
      continue;
    }
    for (const int64_t end = std::min(x + 8, count); x < end; ++x) {
      if (row[x] == 0 || row[x] == whole) continue;
      surface.where.push_back(first + x);
      surface.area.push_back(areas[row[x]]);
      surface.elsewhere[static_cast<size_t>(first + x)] = 0;
    }
  }
}

// Corners between voxels; along an axis that a plane lacks there is one, and its two sides are the
// same voxel.
Size3 Lattice(const Size3& size, size_t flat) {
  Size3 lattice = {size[0] + 1, size[1] + 1, size[2] + 1};
  if (flat != kNotFlat) lattice[flat] = 1;
  return lattice;
}

// Areas by code, where a plane's codes are those of columns of two equal voxels along the flat
// axis.
std::array<double, 256> AreasFor(size_t flat, const Spacing3& spacing) {
  if (flat == kNotFlat) return SurfaceAreas(spacing);
  const int first = flat == 0 ? 1 : 0, second = flat == 2 ? 1 : 2;
  const std::array<double, 16> lengths =
      ContourLengths(spacing[static_cast<size_t>(first)], spacing[static_cast<size_t>(second)]);
  std::array<double, 256> areas = {};
  for (unsigned code = 0; code < 256; ++code) {
    unsigned plane = 0;
    for (int d : {0, 1})
      for (int e : {0, 1}) plane |= (code >> (d << first | e << second) & 1u) << (d + 2 * e);
    areas[code] = lengths[plane];
  }
  return areas;
}

Surface FindSurfels(const Padded& mask, const Size3& size, const Spacing3& spacing, size_t flat) {
  const Size3 lattice = Lattice(size, flat);
  const std::array<double, 256> areas = AreasFor(flat, spacing);
  Surface surface;
  surface.elsewhere.assign(static_cast<size_t>(Voxels(lattice)), 1);
  std::vector<uint8_t> codes(static_cast<size_t>(lattice[0]));
  // In a plane the one corner lies within the only voxel along the flat axis: its number in the
  // padded mask is 1 on either side.
  const int64_t i0 = flat == 0 ? 1 : 0;
  for (int64_t k = 0; k < lattice[2]; ++k) {
    const int64_t k0 = flat == 2 ? 1 : k, k1 = k0 + (flat == 2 ? 0 : 1);
    for (int64_t j = 0; j < lattice[1]; ++j) {
      const int64_t j0 = flat == 1 ? 1 : j, j1 = j0 + (flat == 1 ? 0 : 1);
      const auto row = [&](int64_t y, int64_t z) {
        return mask.inside.data() + IndexOf(mask.size, i0, y, z);
      };
      if (flat == 0) {
        const uint8_t a = *row(j0, k0), b = *row(j1, k0), c = *row(j0, k1), d = *row(j1, k1);
        codes[0] = static_cast<uint8_t>(a * 3 | b * 12 | c * 48 | d * 192);
      } else {
        RowCodes(row(j0, k0), row(j1, k0), row(j0, k1), row(j1, k1), lattice[0], codes.data());
      }
      Collect(codes.data(), lattice[0], 255, IndexOf(lattice, 0, j, k), areas, surface);
    }
  }
  return surface;
}

Surface FindSurfaceVoxels(const Padded& mask, const Size3& size, size_t flat) {
  std::array<double, 256> areas;
  areas.fill(1);
  Surface surface;
  surface.elsewhere.assign(static_cast<size_t>(Voxels(size)), 1);
  std::vector<uint8_t> faces(static_cast<size_t>(size[0]));
  for (int64_t k = 0; k < size[2]; ++k) {
    for (int64_t j = 0; j < size[1]; ++j) {
      // In a plane, neighbours across it do not count: a voxel is its own.
      const uint8_t* const here = mask.inside.data() + IndexOf(mask.size, 1, j + 1, k + 1);
      const int64_t up = flat == 1 ? 0 : mask.size[0];
      const int64_t above = flat == 2 ? 0 : mask.size[0] * mask.size[1];
      if (flat == 0)
        faces[0] = here[0] & ~(here[-up] & here[up] & here[-above] & here[above]) & 1;
      else
        RowFaces(here, up, above, size[0], faces.data());
      Collect(faces.data(), size[0], 0, IndexOf(size, 0, j, k), areas, surface);
    }
  }
  return surface;
}

SurfaceDistances Measure(const Surface& from, const Surface& to, const Size3& grid,
                         const Spacing3& spacing, ThreadPool& pool) {
  const size_t count = from.where.size();
  std::vector<double> squared(count, kFar);
  if (!to.where.empty() && count > 0)
    squared = SquaredDistancesAt(to.elsewhere, grid, spacing, from.where, pool);
  std::vector<std::pair<double, double>> elements(count);
  for (size_t e = 0; e < count; ++e) elements[e] = {squared[e], from.area[e]};
  std::sort(elements.begin(), elements.end());
  SurfaceDistances result;
  result.distance.reserve(count);
  result.area.reserve(count);
  for (const auto& [distance, area] : elements) {
    result.distance.push_back(std::sqrt(distance));
    result.area.push_back(area);
  }
  return result;
}

}  // namespace

size_t FlatAxis(const Size3& size) {
  if (std::count(size.begin(), size.end(), 1) != 1) return kNotFlat;
  return static_cast<size_t>(std::find(size.begin(), size.end(), 1) - size.begin());
}

SurfacePair CompareSurfaces(std::span<const uint8_t> prediction, std::span<const uint8_t> reference,
                            const Size3& size, const Spacing3& spacing, SurfaceKind kind,
                            size_t flat, ThreadPool& pool) {
  if (static_cast<int64_t>(prediction.size()) != Voxels(size) ||
      prediction.size() != reference.size() || Voxels(size) < 1)
    throw UsageError("masks and size disagree", "surface distances");
  Surface surfaces[2];
  pool.ForEach(2, [&](int64_t which) {
    const Padded mask = Pad(which == 0 ? prediction : reference, size);
    surfaces[which] = kind == SurfaceKind::kSurfel ? FindSurfels(mask, size, spacing, flat)
                                                   : FindSurfaceVoxels(mask, size, flat);
  });
  const Size3 grid = kind == SurfaceKind::kSurfel ? Lattice(size, flat) : size;
  return {Measure(surfaces[1], surfaces[0], grid, spacing, pool),
          Measure(surfaces[0], surfaces[1], grid, spacing, pool)};
}

double TotalArea(const SurfaceDistances& surface) {
  return std::accumulate(surface.area.begin(), surface.area.end(), 0.0);
}

double AreaWithin(const SurfaceDistances& surface, double distance) {
  const auto end = std::upper_bound(surface.distance.begin(), surface.distance.end(), distance) -
                   surface.distance.begin();
  return std::accumulate(surface.area.begin(), surface.area.begin() + end, 0.0);
}

double MeanDistance(const SurfaceDistances& surface) {
  double sum = 0;
  for (size_t e = 0; e < surface.distance.size(); ++e) sum += surface.distance[e] * surface.area[e];
  return sum / TotalArea(surface);
}

double AreaPercentile(const SurfaceDistances& surface, double share) {
  if (surface.distance.empty()) return kFar;
  const double total = TotalArea(surface);
  double sum = 0;
  for (size_t e = 0; e < surface.distance.size(); ++e) {
    sum += surface.area[e];
    if (sum / total >= share) return surface.distance[e];
  }
  return surface.distance.back();
}

double Quantile(std::span<const double> sorted, double share) {
  if (sorted.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(at);
  if (low + 1 >= sorted.size()) return sorted.back();
  const double weight = at - static_cast<double>(low);
  return sorted[low] + (sorted[low + 1] - sorted[low]) * weight;
}

}  // namespace orchard::volume
