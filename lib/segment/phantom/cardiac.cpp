#include <algorithm>
#include <cmath>

#include "segment/phantom/canvas.h"
#include "segment/phantom/shapes.h"

namespace orchard::segment {
namespace {

using data::RandomStream;

constexpr volume::Spacing3 kSpacing = {1.5, 1.5, 8};  // mm
constexpr uint8_t kRightVentricle = 1, kMyocardium = 2, kLeftVentricle = 3;
constexpr double kBlood = 1, kMuscle = 0.4, kLung = 0.1, kLiver = 0.6;

double Between(double low, double high, RandomStream& random) {
  return low + (high - low) * random.Uniform();
}

// Lengths in mm, those in the slice at the base.
struct Heart {
  double x = 0, y = 0;                       // of the left ventricle's axis
  double cavity = 0, wall = 0;               // the left ventricle's radius and thickness
  double cosine = 1, sine = 0;               // direction from the left to the right ventricle
  double right = 0;                          // how far that way the right ventricle's centre is
  double right_along = 0, right_across = 0;  // its half axes that way and across
  double base = 0, length = 0;               // height of the base; from there to the apex
  double right_from = 0;                     // how far below the base the right ventricle begins

  // What radii shrink by at the height of a point.
  double Shrink(const io::Vec3& p) const {
    const double z = std::clamp((base - p[2]) / length, 0.0, 1.0);
    return std::sqrt(1 - z * z);
  }
  double InCavity(const io::Vec3& p) const {
    return Shrink(p) * cavity - std::hypot(p[0] - x, p[1] - y);
  }
  // With the cavity. The wall is thick enough everywhere for voxels to enclose the cavity.
  double InWall(const io::Vec3& p) const {
    return InCavity(p) + std::max(Shrink(p) * wall, 1.5 * kSpacing[0]);
  }
  double InRight(const io::Vec3& p) const {
    const double f = std::max(1e-6, Shrink(p)), dx = p[0] - x, dy = p[1] - y;
    const io::Vec3 q = {cosine * dx + sine * dy - f * right, cosine * dy - sine * dx, 0};
    const double ellipse = InEllipsoid(q, {f * right_along, f * right_across, kEndless});
    return base - p[2] < right_from ? -kEndless : std::min(ellipse, -InWall(p));
  }
};

Heart DrawHeart(double s, int64_t slices, RandomStream& random) {
  const double depth = static_cast<double>(slices) * kSpacing[2];
  Heart h;
  const double angle = Between(-0.35, 0.35, random);
  h.cosine = std::cos(angle);
  h.sine = std::sin(angle);
  h.x = s * (0.5 + Between(-0.03, 0.03, random) - 0.1 * h.cosine);
  h.y = s * (0.52 + Between(-0.03, 0.03, random) - 0.1 * h.sine);
  h.cavity = s * Between(0.12, 0.16, random);
  h.wall = s * Between(0.05, 0.07, random);
  const double outer = h.cavity + h.wall;
  h.right = outer * Between(0.85, 0.95, random);
  h.right_along = outer * Between(0.65, 0.8, random);
  h.right_across = outer * Between(0.95, 1.1, random);
  h.base = depth;
  h.length = depth * Between(1, 1.08, random);
  h.right_from = kSpacing[2] * static_cast<double>(random.Below(3));
  return h;
}

}  // namespace

Phantom MakeHeart(int64_t side, uint64_t seed, uint64_t subject, const PhantomLook& look) {
  RandomStream random(seed, "phantom heart", subject);
  const int64_t slices = 8 + static_cast<int64_t>(random.Below(5));
  Canvas canvas({side, side, slices}, kSpacing, look, seed, subject, random);
  const double s = canvas.side();
  const Heart heart = DrawHeart(s, slices, random);
  for (double& v : canvas.image) v += kLung;
  const io::Vec3 liver = {s * Between(0.65, 0.75, random), s * Between(0.08, 0.14, random), 0};
  const io::Vec3 half = {s * Between(0.34, 0.4, random), s * Between(0.18, 0.22, random), kEndless};
  canvas.Paint(0, kLiver,
               [&](const io::Vec3& p) { return InEllipsoid(io::Minus(p, liver), half); });
  canvas.Paint(kRightVentricle, kBlood, [&](const io::Vec3& p) { return heart.InRight(p); });
  canvas.Paint(kMyocardium, kMuscle, [&](const io::Vec3& p) { return heart.InWall(p); });
  canvas.Paint(kLeftVentricle, kBlood, [&](const io::Vec3& p) { return heart.InCavity(p); });
  return std::move(canvas).Finish(random);
}

}  // namespace orchard::segment
