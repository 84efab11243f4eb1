#include <cmath>
#include <utility>

#include "segment/phantom/canvas.h"
#include "segment/phantom/draws.h"
#include "segment/phantom/rotation.h"
#include "segment/phantom/shapes.h"

namespace orchard::segment {
namespace {

using data::RandomStream;

constexpr double kContrast = 100;  // HU of a texture's unit
constexpr double kAir = -1000, kFat = -100, kBody = 40;

// A body in parts of the side, from the middle of the image towards right, anterior and superior.
// Long ones run through all slices.
struct Organ {
  uint8_t label = 0;
  double value = 0;  // HU
  io::Vec3 centre{}, half{};
  bool lies_freely = true;  // its size, place and turn vary more
};

constexpr Organ kOrgans[] = {
    {0, kAir, {-0.13, 0.14, 0.05}, {0.07, 0.05, 0.06}},        // gas of the bowel
    {0, 400, {0, -0.17, 0}, {0.055, 0.055, kEndless}, false},  // spine
    {5, 150, {-0.02, -0.066, 0}, {0.03, 0.03, kEndless}, false},
    {1, 110, {0.17, 0.06, 0.12}, {0.19, 0.17, 0.18}},
    {2, 120, {-0.27, -0.05, 0.14}, {0.075, 0.11, 0.1}},
    {3, 180, {0.19, -0.13, -0.1}, {0.06, 0.06, 0.11}},
    {4, 180, {-0.19, -0.13, -0.08}, {0.06, 0.06, 0.11}}};

}  // namespace

Phantom MakeAbdomen(int64_t side, uint64_t seed, uint64_t subject, AbdomenVoxels voxels,
                    const PhantomLook& look) {
  RandomStream random(seed, "phantom abdomen", subject);
  const volume::Spacing3 spacing = voxels == AbdomenVoxels::kIso ? volume::Spacing3{1.5, 1.5, 1.5}
                                                                 : volume::Spacing3{0.8, 0.8, 3};
  // Three quarters as high as wide.
  const int64_t slices = std::llround(0.75 * static_cast<double>(side) * spacing[0] / spacing[2]);
  Canvas canvas({side, side, slices}, spacing, look, seed, subject, random);
  const double s = canvas.side(), height = static_cast<double>(slices) * spacing[2];
  const double scale = s * (1 + Around(0.05, random));
  const io::Vec3 middle = {s * (0.5 + Around(0.01, random)), s * (0.5 + Around(0.01, random)),
                           height * (0.5 + Around(0.02, random))};
  const std::vector<double> texture =
      std::exchange(canvas.image, std::vector<double>(canvas.image.size(), kAir));
  const auto trunk = [&](double value, double width, double depth) {
    const io::Vec3 half = {scale * width, scale * depth, kEndless};
    canvas.PaintWith(
        0, [&](size_t v) { return value + kContrast * texture[v]; },
        [&](const io::Vec3& p) { return InEllipsoid(io::Minus(p, middle), half); });
  };
  trunk(kFat, 0.45, 0.34);
  trunk(kBody, 0.41, 0.3);
  for (const Organ& organ : kOrgans) {
    const double most = organ.lies_freely ? 1 : 0.3;
    io::Vec3 centre = middle, half = organ.half;
    for (size_t a = 0; a < 3; ++a) {
      centre[a] += scale * (organ.centre[a] + Around(0.015 * most, random));
      half[a] *= scale * (1 + Around(0.1 * most, random));
    }
    const Rotation turn = SmallRotation(organ.lies_freely ? 0.2 : 0, random);
    canvas.Paint(organ.label, organ.value,
                 [&](const io::Vec3& p) { return InEllipsoid(turn(io::Minus(p, centre)), half); });
  }
  return std::move(canvas).Finish(random);
}

}  // namespace orchard::segment
