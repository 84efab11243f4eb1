#include "segment/phantom/outline.h"

#include <cmath>
#include <numbers>

#include "segment/phantom/draws.h"

namespace orchard::segment {
namespace {

using data::RandomStream;
using std::numbers::pi;

constexpr double kJitter = 0.03;

// The most that a term of this frequency adds to a family's radius.
double Most(double frequency) { return 0.25 / std::sqrt(frequency); }

}  // namespace

Outline::Outline(uint64_t seed, int64_t family, RandomStream& subject) {
  RandomStream random(seed, "phantom family", static_cast<uint64_t>(family));
  for (size_t n = 0; n < 4; ++n) {
    a[n] = Around(Most(static_cast<double>(n + 2)), random) + kJitter * subject.Normal();
    phase[n] = 2 * pi * random.Uniform();
  }
}

double Outline::At(double angle) const {
  double r = 1;
  for (size_t n = 0; n < 4; ++n)
    r += a[n] * std::cos(static_cast<double>(n + 2) * angle + phase[n]);
  return r;
}

std::array<double, kHarmonics> Harmonics(const io::Vec3& direction) {
  const auto [x, y, z] = direction;
  const double x2 = x * x, y2 = y * y, z2 = z * z;
  const auto root = [](double square) { return std::sqrt(square / 2); };
  return {// Degree 2.
          root(15) * x * y, root(15) * y * z, root(5.0 / 4) * (3 * z2 - 1), root(15) * x * z,
          root(15.0 / 4) * (x2 - y2),
          // Degree 3.
          root(35.0 / 8) * y * (3 * x2 - y2), root(105) * x * y * z,
          root(21.0 / 8) * y * (5 * z2 - 1), root(7.0 / 4) * z * (5 * z2 - 3),
          root(21.0 / 8) * x * (5 * z2 - 1), root(105.0 / 4) * z * (x2 - y2),
          root(35.0 / 8) * x * (x2 - 3 * y2),
          // Degree 4.
          root(315.0 / 4) * x * y * (x2 - y2), root(315.0 / 8) * y * z * (3 * x2 - y2),
          root(45.0 / 4) * x * y * (7 * z2 - 1), root(45.0 / 8) * y * z * (7 * z2 - 3),
          root(9.0 / 64) * (35 * z2 * z2 - 30 * z2 + 3), root(45.0 / 8) * x * z * (7 * z2 - 3),
          root(45.0 / 16) * (x2 - y2) * (7 * z2 - 1), root(315.0 / 8) * x * z * (x2 - 3 * y2),
          root(315.0 / 64) * (x2 * (x2 - 3 * y2) - y2 * (3 * x2 - y2))};
}

Outline3d::Outline3d(uint64_t seed, int64_t family, RandomStream& subject) {
  RandomStream random(seed, "phantom solid family", static_cast<uint64_t>(family));
  size_t n = 0;
  for (int degree = 2; degree <= 4; ++degree) {
    // Shared by the 2 degree + 1 harmonics of the degree.
    const double share = 1 / std::sqrt(2.0 * degree + 1);
    for (int order = -degree; order <= degree; ++order, ++n) {
      const double own = kJitter * subject.Normal();
      a[n] = share * (Around(Most(degree), random) + own);
    }
  }
}

double Outline3d::At(const io::Vec3& direction) const {
  const std::array<double, kHarmonics> y = Harmonics(direction);
  double r = 1;
  for (size_t n = 0; n < kHarmonics; ++n) r += a[n] * y[n];
  return r;
}

}  // namespace orchard::segment
