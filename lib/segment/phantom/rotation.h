// Turns in space.
#pragma once

#include <array>
#include <cmath>

#include "data/random_stream.h"
#include "io/medical/affine.h"
#include "segment/phantom/draws.h"

namespace orchard::segment {

struct Rotation {
  std::array<io::Vec3, 3> rows = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};

  io::Vec3 operator()(const io::Vec3& p) const {
    return {io::Dot(rows[0], p), io::Dot(rows[1], p), io::Dot(rows[2], p)};
  }

  // Of a quaternion of any length but 0.
  static Rotation Of(double w, double x, double y, double z) {
    const double f = 2 / (w * w + x * x + y * y + z * z);
    return {{{{1 - f * (y * y + z * z), f * (x * y - w * z), f * (x * z + w * y)},
              {f * (x * y + w * z), 1 - f * (x * x + z * z), f * (y * z - w * x)},
              {f * (x * z - w * y), f * (y * z + w * x), 1 - f * (x * x + y * y)}}}};
  }
};

// Evenly over all directions.
inline io::Vec3 RandomDirection(data::RandomStream& random) {
  io::Vec3 d{};
  double norm = 0;
  while (norm < 1e-3) {
    for (double& x : d) x = random.Normal();
    norm = io::Norm(d);
  }
  for (double& x : d) x /= norm;
  return d;
}

// Evenly over all turns: a quaternion in any direction.
inline Rotation RandomRotation(data::RandomStream& random) {
  const double w = random.Normal(), x = random.Normal(), y = random.Normal();
  return Rotation::Of(w, x, y, random.Normal());
}

// About any axis, by an angle (radian) from -most to most.
inline Rotation SmallRotation(double most, data::RandomStream& random) {
  const io::Vec3 axis = RandomDirection(random);
  const double half = Around(most / 2, random), n = std::sin(half);
  return Rotation::Of(std::cos(half), n * axis[0], n * axis[1], n * axis[2]);
}

}  // namespace orchard::segment
