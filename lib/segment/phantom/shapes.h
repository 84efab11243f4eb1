// How deep a point lies inside a body: the distance to its border, inside positive, outside
// negative. Points are given about the body's centre.
#pragma once

#include <cstdint>

#include "io/medical/affine.h"

namespace orchard::segment {

// A rectangle, and a box, of these half sides.
double InBox(double x, double y, double half_x, double half_y);
double InBox(const io::Vec3& p, const io::Vec3& half);

// The half axis of a body without end; mm.
inline constexpr double kEndless = 1e9;

// An ellipsoid of these half axes; an ellipse or an elliptic cylinder where some are endless. Zero
// on the border and right beside it; to first order elsewhere.
double InEllipsoid(const io::Vec3& p, const io::Vec3& half);

// A disc, ring (inner radius 0.64 of the outer), bar (four times as long as wide) or L (two arms
// three times as long as wide) of this area.
double InShape(int64_t shape, double x, double y, double area);

// A ball, shell (inner radius 0.64 of the outer), rod (round, three times as long as wide) or plate
// (square, a quarter as thick as wide) of this volume.
double InSolid(int64_t solid, const io::Vec3& p, double volume);

}  // namespace orchard::segment
