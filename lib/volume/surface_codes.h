// Areas of surfaces between voxels. Around each corner of the voxel lattice lie 2 x 2 x 2 voxels;
// those inside a mask make a code of eight bits, and the code decides which piece of surface passes
// through the corner's cell: the polygons of marching cubes through the middles of the edges
// between an inside and an outside voxel.
//
// google-deepmind/surface-distance (2018) measures surfaces this way from a printed table. Here the
// table is built by a rule that gives the same areas for any spacing: on a face with inside voxels
// at opposite corners the rarer kind (of all eight) is kept apart; a polygon of more than three
// corners is cut into the triangles with the largest total area at unit spacing, and of equal ones
// into those with the largest single triangle.
#pragma once

#include <array>
#include <cstdint>

#include "volume/shape.h"

namespace orchard::volume {

// Bit of the voxel at (di, dj, dk) before (0) or after (1) the corner along i, j, k.
constexpr int CornerBit(int di, int dj, int dk) { return di + 2 * dj + 4 * dk; }

// Square millimetres of surface for each code.
std::array<double, 256> SurfaceAreas(const Spacing3& spacing);

// The same in a plane: millimetres of contour for each code of 2 x 2 pixels, bit d + 2 e for the
// pixel at (d, e) along the axes whose spacings are given. Codes of opposite corners cut both off.
std::array<double, 16> ContourLengths(double first, double second);

}  // namespace orchard::volume
