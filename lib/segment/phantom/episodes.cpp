#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "segment/phantom/canvas.h"
#include "segment/phantom/draws.h"
#include "segment/phantom/rotation.h"
#include "segment/phantom/shapes.h"

namespace orchard::segment {
namespace {

using data::RandomStream;
using std::numbers::pi;

constexpr double kArea = 0.025;    // of s^2
constexpr double kVolume = 0.003;  // of s^3: a ball as wide as the disc

// 0 to N - 1 in any order: the cells of a grid of two each way.
template <size_t N>
std::array<int64_t, N> ShuffledCells(RandomStream& random) {
  std::array<int64_t, N> cell{};
  for (size_t i = 0; i < N; ++i) cell[i] = static_cast<int64_t>(i);
  for (size_t i = N; i > 1; --i) std::swap(cell[i - 1], cell[random.Below(i)]);
  return cell;
}

double Jitter(RandomStream& random) { return Around(0.05, random); }

}  // namespace

Phantom MakeEpisode(int64_t side, uint64_t seed, uint64_t subject, const PhantomLook& look) {
  RandomStream random(seed, "phantom episode", subject);
  Canvas canvas({side, side, 1}, {1, 1, 5}, look, seed, subject, random);
  const double s = canvas.side();
  const std::array<int64_t, 4> cell = ShuffledCells<4>(random);
  for (int64_t shape = 0; shape < kEpisodeShapes; ++shape) {
    const int64_t at = cell[static_cast<size_t>(shape)], row = at / 2;
    const double jitter_x = Jitter(random), jitter_y = Jitter(random);
    const double cx = s * (0.25 + 0.5 * static_cast<double>(at % 2) + jitter_x);
    const double cy = s * (0.25 + 0.5 * static_cast<double>(row) + jitter_y);
    const double angle = 2 * pi * random.Uniform(), scale = 0.85 + 0.3 * random.Uniform();
    const double bright = 0.9 + 0.2 * random.Uniform();
    const double c = std::cos(angle), n = std::sin(angle);
    canvas.Paint(static_cast<uint8_t>(shape + 1), bright, [&](const io::Vec3& p) {
      const double x = (p[0] - cx) / scale, y = (p[1] - cy) / scale;
      return scale * InShape(shape, c * x + n * y, c * y - n * x, kArea * s * s);
    });
  }
  return std::move(canvas).Finish(random);
}

Phantom MakeEpisode3d(int64_t side, uint64_t seed, uint64_t subject, const PhantomLook& look) {
  RandomStream random(seed, "phantom solid episode", subject);
  Canvas canvas({side, side, side}, {1, 1, 1}, look, seed, subject, random);
  const double s = canvas.side();
  const std::array<int64_t, 8> cell = ShuffledCells<8>(random);
  for (int64_t solid = 0; solid < kEpisodeShapes; ++solid) {
    const int64_t at = cell[static_cast<size_t>(solid)];
    io::Vec3 centre{};
    for (size_t a = 0; a < 3; ++a)
      centre[a] = s * (0.25 + 0.5 * static_cast<double>(at >> a & 1) + Jitter(random));
    const Rotation turn = RandomRotation(random);
    const double scale = 0.85 + 0.3 * random.Uniform(), bright = 0.9 + 0.2 * random.Uniform();
    canvas.Paint(static_cast<uint8_t>(solid + 1), bright, [&](const io::Vec3& p) {
      io::Vec3 q = turn(io::Minus(p, centre));
      for (double& x : q) x /= scale;
      return scale * InSolid(solid, q, kVolume * s * s * s);
    });
  }
  return std::move(canvas).Finish(random);
}

}  // namespace orchard::segment
