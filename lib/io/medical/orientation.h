// Turning images by whole axes: permutations and flips, which move voxels and change none.
#pragma once

#include <array>
#include <optional>

#include "io/medical/volume.h"

namespace orchard::io {

// Axis a of the result is axis `axis[a]` of the source, backwards where `flip[a]`.
struct AxisMap {
  std::array<int, 3> axis = {0, 1, 2};
  std::array<bool, 3> flip = {false, false, false};

  bool identity() const { return *this == AxisMap{}; }
  bool operator==(const AxisMap&) const = default;
};

// The map after which index i, j, k grow most nearly to the right, anterior and superior. Of the
// six permutations it takes the one whose cosines sum to the most, the first of equal ones.
AxisMap ClosestCanonical(const Affine& affine);

// The map that undoes `map`.
AxisMap Inverse(const AxisMap& map);

// The same voxels in another order; every voxel keeps its place in space.
Grid Reorient(const Grid& grid, const AxisMap& map);
Volume Reorient(const Volume& volume, const AxisMap& map);

// The map that turns `from` into `to`, when both have the same voxels in space: no centre of a
// voxel is off by more than `tolerance` mm. Nothing when there is none.
std::optional<AxisMap> MatchGrids(const Grid& from, const Grid& to, double tolerance = 1e-2);

// Where a part of a grid lies in the whole: turned by `turn`, its first voxel is `offset`.
struct PartPlace {
  AxisMap turn;
  std::array<int64_t, 3> offset = {0, 0, 0};
};

// The place of `part` where all its voxels are voxels of `whole`, as in MatchGrids. Nothing where
// they are not.
std::optional<PartPlace> FindPart(const Grid& part, const Grid& whole, double tolerance = 1e-2);

// `part` on `whole`, with zeros around it.
Volume PutPart(const Volume& part, const Grid& whole, const PartPlace& place);

}  // namespace orchard::io
