#include "segment/phantom.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "data/random_stream.h"

namespace orchard::segment {
namespace {

using data::RandomStream;
using std::numbers::pi;

constexpr double kEdge = 0.7;     // voxels
constexpr double kFeather = 2.0;  // voxels, of a wedge

double Logistic(double x) { return 1 / (1 + std::exp(-x)); }

// One axis of a Gaussian filter, edges continued.
void Smooth(std::vector<double>& values, int64_t side, double sigma, int64_t step, int64_t line) {
  const auto reach = static_cast<int64_t>(std::ceil(3 * sigma));
  std::vector<double> weight;
  for (int64_t d = -reach; d <= reach; ++d) {
    const double x = static_cast<double>(d) / sigma;
    weight.push_back(std::exp(-0.5 * x * x));
  }
  std::vector<double> row(static_cast<size_t>(side));
  for (int64_t l = 0; l < side; ++l) {
    for (int64_t i = 0; i < side; ++i) {
      double sum = 0;
      for (int64_t d = -reach; d <= reach; ++d) {
        const int64_t from = std::clamp<int64_t>(i + d, 0, side - 1);
        sum += weight[static_cast<size_t>(d + reach)] *
               values[static_cast<size_t>(l * line + from * step)];
      }
      row[static_cast<size_t>(i)] = sum;
    }
    for (int64_t i = 0; i < side; ++i)
      values[static_cast<size_t>(l * line + i * step)] = row[static_cast<size_t>(i)];
  }
}

void Standardise(std::vector<double>& values, double deviation) {
  double mean = 0, squares = 0;
  for (const double v : values) mean += v;
  mean /= static_cast<double>(values.size());
  for (const double v : values) squares += (v - mean) * (v - mean);
  const double scale =
      deviation / std::max(1e-8, std::sqrt(squares / static_cast<double>(values.size())));
  for (double& v : values) v = (v - mean) * scale;
}

std::vector<double> Background(int64_t side, RandomStream& random) {
  std::vector<double> values(static_cast<size_t>(side * side));
  for (double& v : values) v = random.Normal();
  const double sigma = static_cast<double>(side) / 8;
  Smooth(values, side, sigma, 1, side);
  Smooth(values, side, sigma, side, 1);
  Standardise(values, 0.2);
  return values;
}

// Distance to the border of a box with these half sides, inside positive.
double InBox(double x, double y, double half_x, double half_y) {
  const double dx = std::abs(x) - half_x, dy = std::abs(y) - half_y;
  if (dx <= 0 || dy <= 0) return -std::max(dx, dy);
  return -std::hypot(dx, dy);
}

// The same for a shape of area `area` about its centre.
double InShape(int64_t shape, double x, double y, double area) {
  const double r = std::hypot(x, y);
  switch (shape) {
    case 0:
      return std::sqrt(area / pi) - r;
    case 1: {
      constexpr double kInner = 0.64;
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

Phantom Finish(int64_t side, const std::vector<double>& image, std::vector<uint8_t> labels,
               double noise, RandomStream& random) {
  Phantom phantom{.side = side, .labels = std::move(labels)};
  phantom.image.reserve(image.size());
  for (const double v : image)
    phantom.image.push_back(static_cast<float>(v + noise * random.Normal()));
  return phantom;
}

// The outline of an organ: radius against the angle, of mean radius 1.
struct Outline {
  std::array<double, 4> a{}, phase{};  // of m = 2 to 5
  double At(double angle) const {
    double r = 1;
    for (size_t n = 0; n < 4; ++n)
      r += a[n] * std::cos(static_cast<double>(n + 2) * angle + phase[n]);
    return r;
  }
};

Outline OutlineOf(uint64_t seed, int64_t family, RandomStream& subject) {
  RandomStream random(seed, "phantom family", static_cast<uint64_t>(family));
  Outline outline;
  for (size_t n = 0; n < 4; ++n) {
    const double most = 0.25 / std::sqrt(static_cast<double>(n + 2));
    outline.a[n] = most * (2 * random.Uniform() - 1) + 0.03 * subject.Normal();
    outline.phase[n] = 2 * pi * random.Uniform();
  }
  return outline;
}

}  // namespace

Phantom MakeEpisode(int64_t side, uint64_t seed, uint64_t subject, double noise) {
  RandomStream random(seed, "phantom episode", subject);
  const auto s = static_cast<double>(side);
  std::vector<double> image = Background(side, random);
  std::vector<uint8_t> labels(image.size());
  std::array<int64_t, 4> cell = {0, 1, 2, 3};
  for (size_t i = 4; i > 1; --i) std::swap(cell[i - 1], cell[random.Below(i)]);
  for (int64_t shape = 0; shape < kEpisodeShapes; ++shape) {
    const int64_t at = cell[static_cast<size_t>(shape)];
    const double jitter_x = 0.05 * (2 * random.Uniform() - 1);
    const double jitter_y = 0.05 * (2 * random.Uniform() - 1);
    const double cx = s * (0.25 + 0.5 * static_cast<double>(at % 2) + jitter_x);
    const double cy = s * (0.25 + 0.5 * static_cast<double>(at / 2) + jitter_y);
    const double angle = 2 * pi * random.Uniform(), scale = 0.85 + 0.3 * random.Uniform();
    const double bright = 0.9 + 0.2 * random.Uniform();
    const double c = std::cos(angle), n = std::sin(angle);
    size_t v = 0;
    for (int64_t j = 0; j < side; ++j) {
      for (int64_t i = 0; i < side; ++i, ++v) {
        const double x = (static_cast<double>(i) + 0.5 - cx) / scale;
        const double y = (static_cast<double>(j) + 0.5 - cy) / scale;
        const double inside = scale * InShape(shape, c * x + n * y, c * y - n * x, 0.025 * s * s);
        const double part = Logistic(inside / kEdge);
        image[v] += part * (bright - image[v]);
        if (inside > 0) labels[v] = static_cast<uint8_t>(shape + 1);
      }
    }
  }
  return Finish(side, image, std::move(labels), noise, random);
}

Phantom MakeOrgan(int64_t side, uint64_t seed, uint64_t subject, bool wedge, double noise) {
  RandomStream random(seed, "phantom organ", subject);
  const auto s = static_cast<double>(side);
  const auto family = static_cast<int64_t>(subject % kFamilies);
  std::vector<double> image = Background(side, random);
  std::vector<uint8_t> labels(image.size()), sector(image.size());
  const Outline outline = OutlineOf(seed, family, random);
  const double radius = 0.22 * s * (0.9 + 0.2 * random.Uniform());
  const double turn = pi / 18 * (2 * random.Uniform() - 1);
  const double cx = s * (0.5 + 0.08 * (2 * random.Uniform() - 1));
  const double cy = s * (0.5 + 0.08 * (2 * random.Uniform() - 1));
  const double bisector = 2 * pi * random.Uniform();
  size_t v = 0;
  for (int64_t j = 0; j < side; ++j) {
    for (int64_t i = 0; i < side; ++i, ++v) {
      const double x = static_cast<double>(i) + 0.5 - cx, y = static_cast<double>(j) + 0.5 - cy;
      const double rho = std::hypot(x, y), angle = std::atan2(y, x);
      const double border = radius * outline.At(angle - turn);
      const double background = image[v];
      image[v] += Logistic((border - rho) / kEdge) * (1 - image[v]);
      image[v] += Logistic((0.55 * border - rho) / kEdge) * (0.5 - image[v]);
      labels[v] = rho < 0.55 * border ? 2 : rho < border ? 1 : 0;
      const double off = std::abs(std::remainder(angle - bisector, 2 * pi));
      sector[v] = off < pi / 4 ? 1 : 0;
      if (!wedge) continue;
      // How far inside the sector and the band around the border, in voxels.
      const double depth = std::min({rho * std::sin(std::clamp(pi / 4 - off, -pi / 2, pi / 2)),
                                     rho - 0.7 * border, 1.3 * border - rho});
      const double hidden = Logistic(depth / (kFeather / 2));
      image[v] += hidden * (0.5 * (1 + background) - image[v]);
    }
  }
  Phantom phantom = Finish(side, image, std::move(labels), noise, random);
  phantom.family = family;
  phantom.wedge = std::move(sector);
  return phantom;
}

PreparedCase AsCase(const Phantom& phantom, const std::string& id, const std::string& subject,
                    int64_t classes, uint8_t label) {
  PreparedCase c{.id = id, .subject = subject, .labels = phantom.labels};
  std::vector<double> values(phantom.image.begin(), phantom.image.end());
  Standardise(values, 1);
  c.image.values.assign(values.begin(), values.end());
  c.image.size = {phantom.side, phantom.side, 1};
  c.image.channels = 1;
  c.image.body = {{0, 0, 0}, c.image.size};
  c.image.frame.whole = c.image.size;
  c.image.frame.crop = c.image.body;
  c.image.frame.spacing = {1, 1, 1};
  if (label != 0) {
    for (uint8_t& l : c.labels) l = l == label ? 1 : 0;
  }
  IndexCase(c, classes);
  return c;
}

}  // namespace orchard::segment
