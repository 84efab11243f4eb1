#include "segment/phantom/shapes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace orchard::segment {
namespace {

using std::numbers::pi;

constexpr double kInner = 0.64;  // radius of a ring's hole by its own

}  // namespace

double InBox(double x, double y, double half_x, double half_y) {
  const double dx = std::abs(x) - half_x, dy = std::abs(y) - half_y;
  if (dx <= 0 || dy <= 0) return -std::max(dx, dy);
  return -std::hypot(dx, dy);
}

double InBox(const io::Vec3& p, const io::Vec3& half) {
  io::Vec3 beyond{};
  double most = -std::numeric_limits<double>::infinity();
  for (size_t a = 0; a < 3; ++a) {
    const double d = std::abs(p[a]) - half[a];
    most = std::max(most, d);
    beyond[a] = std::max(d, 0.0);
  }
  return most <= 0 ? -most : -io::Norm(beyond);
}

double InEllipsoid(const io::Vec3& p, const io::Vec3& half) {
  io::Vec3 unit{}, slope{};
  for (size_t a = 0; a < 3; ++a) {
    unit[a] = p[a] / half[a];
    slope[a] = unit[a] / half[a];
  }
  const double r = io::Norm(unit), steep = io::Norm(slope);
  if (steep == 0) return *std::min_element(half.begin(), half.end());
  return r * (1 - r) / steep;
}

double InShape(int64_t shape, double x, double y, double area) {
  const double r = std::hypot(x, y);
  switch (shape) {
    case 0:
      return std::sqrt(area / pi) - r;
    case 1: {
      const double outer = std::sqrt(area / (pi * (1 - kInner * kInner)));
      return std::min(outer - r, r - kInner * outer);
    }
    case 2: {
      const double width = std::sqrt(area / 4);
      return InBox(x, y, 2 * width, width / 2);
    }
    default: {
      // Two arms of length 3 b and width b: an area of 5 b^2.
      const double b = std::sqrt(area / 5);
      return std::max(InBox(x + b, y, b / 2, 1.5 * b), InBox(x, y + b, 1.5 * b, b / 2));
    }
  }
}

double InSolid(int64_t solid, const io::Vec3& p, double volume) {
  const double r = io::Norm(p);
  switch (solid) {
    case 0:
      return std::cbrt(0.75 * volume / pi) - r;
    case 1: {
      const double outer = std::cbrt(0.75 * volume / (pi * (1 - kInner * kInner * kInner)));
      return std::min(outer - r, r - kInner * outer);
    }
    case 2: {
      const double width = std::cbrt(4 * volume / (3 * pi));
      return InBox(std::hypot(p[0], p[1]), p[2], width / 2, 1.5 * width);
    }
    default: {
      const double width = std::cbrt(4 * volume);
      return InBox(p, {width / 2, width / 2, width / 8});
    }
  }
}

}  // namespace orchard::segment
