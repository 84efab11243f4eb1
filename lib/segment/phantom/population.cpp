#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "segment/phantom/canvas.h"
#include "segment/phantom/draws.h"
#include "segment/phantom/outline.h"
#include "segment/phantom/rotation.h"

namespace orchard::segment {
namespace {

using data::RandomStream;
using std::numbers::pi;

constexpr double kFeather = 2.0;       // voxels, of a wedge
constexpr double kCore = 0.55;         // its border by the rim's
constexpr double kMostTurn = pi / 18;  // either way

// Where a voxel lies: its distance from the organ's centre, the border's in that direction (mm),
// and the angle from the middle of the wedge.
struct Polar {
  double rho = 0, border = 0, off = 0;
};

// Radii are 0.22 s, ten percent more or less; centres off the middle by 0.08 s at most.
double Radius(double s, RandomStream& random) { return 0.22 * s * (0.9 + 0.2 * random.Uniform()); }
double Centre(double s, RandomStream& random) { return s * (0.5 + Around(0.08, random)); }

// Rim and core of voxel v, and what the wedge hides of them. `image` holds the background there.
void PaintVoxel(Canvas& canvas, size_t v, const Polar& at, bool wedge) {
  double& value = canvas.image[v];
  const double background = value;
  value += Logistic((at.border - at.rho) / canvas.edge()) * (1 - value);
  value += Logistic((kCore * at.border - at.rho) / canvas.edge()) * (0.5 - value);
  canvas.labels[v] = at.rho < kCore * at.border ? 2 : at.rho < at.border ? 1 : 0;
  if (!wedge) return;
  // How far inside the sector and the band around the border, in mm, which are voxels.
  const double depth = std::min({at.rho * std::sin(std::clamp(pi / 4 - at.off, -pi / 2, pi / 2)),
                                 at.rho - 0.7 * at.border, 1.3 * at.border - at.rho});
  const double hidden = Logistic(depth / (kFeather / 2));
  value += hidden * (0.5 * (1 + background) - value);
}

// Paints an organ: polar(p) says where p lies.
template <class ToPolar>
Phantom PaintOrgan(Canvas canvas, bool wedge, int64_t family, RandomStream& random,
                   const ToPolar& polar) {
  std::vector<uint8_t> sector(canvas.image.size());
  canvas.ForEach([&](size_t v, const io::Vec3& p) {
    const Polar at = polar(p);
    PaintVoxel(canvas, v, at, wedge);
    sector[v] = at.off < pi / 4 ? 1 : 0;
  });
  Phantom phantom = std::move(canvas).Finish(random);
  phantom.family = family;
  phantom.wedge = std::move(sector);
  return phantom;
}

}  // namespace

Phantom MakeOrgan(int64_t side, uint64_t seed, uint64_t subject, bool wedge,
                  const PhantomLook& look) {
  RandomStream random(seed, "phantom organ", subject);
  const auto family = static_cast<int64_t>(subject % kFamilies);
  Canvas canvas({side, side, 1}, {1, 1, 5}, look, seed, subject, random);
  const double s = canvas.side();
  const Outline outline(seed, family, random);
  const double radius = Radius(s, random);
  const double turn = Around(kMostTurn, random);
  const double cx = Centre(s, random), cy = Centre(s, random);
  const double bisector = 2 * pi * random.Uniform();
  return PaintOrgan(std::move(canvas), wedge, family, random, [&](const io::Vec3& p) -> Polar {
    const double x = p[0] - cx, y = p[1] - cy, angle = std::atan2(y, x);
    return {std::hypot(x, y), radius * outline.At(angle - turn),
            std::abs(std::remainder(angle - bisector, 2 * pi))};
  });
}

Phantom MakeOrgan3d(int64_t side, uint64_t seed, uint64_t subject, bool wedge,
                    const PhantomLook& look) {
  RandomStream random(seed, "phantom solid organ", subject);
  const auto family = static_cast<int64_t>(subject % kFamilies);
  Canvas canvas({side, side, side}, {1, 1, 1}, look, seed, subject, random);
  const double s = canvas.side();
  const Outline3d outline(seed, family, random);
  const double radius = Radius(s, random);
  const Rotation turn = SmallRotation(kMostTurn, random);
  io::Vec3 centre{};
  for (double& c : centre) c = Centre(s, random);
  const io::Vec3 middle = RandomDirection(random);
  return PaintOrgan(std::move(canvas), wedge, family, random, [&](const io::Vec3& p) -> Polar {
    io::Vec3 d = io::Minus(p, centre);
    const double rho = std::max(1e-9, io::Norm(d));
    for (double& x : d) x /= rho;
    return {rho, radius * outline.At(turn(d)),
            std::acos(std::clamp(io::Dot(d, middle), -1.0, 1.0))};
  });
}

}  // namespace orchard::segment
