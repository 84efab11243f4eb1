#include "data/synthetic_shapes.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "data/random_stream.h"

namespace orchard::data {
namespace {

constexpr std::array<std::string_view, 10> kNames = {"disc",      "ring",    "square", "frame",
                                                     "triangle",  "plus",    "bar",    "two bars",
                                                     "half disc", "checkers"};

// Whether the point (x, y) of the plane lies in the shape, which fills about [-1, 1] squared.
bool Inside(int32_t shape, double x, double y) {
  const double r = std::hypot(x, y), m = std::max(std::abs(x), std::abs(y));
  switch (shape) {
    case 0:
      return r < 0.9;
    case 1:
      return r < 1 && r > 0.6;
    case 2:
      return m < 0.8;
    case 3:
      return m < 0.9 && m > 0.55;
    case 4:
      return y < 0.7 && y > 2.2 * std::abs(x) - 1;
    case 5:
      return m < 1 && std::min(std::abs(x), std::abs(y)) < 0.3;
    case 6:
      return std::abs(x) < 0.3 && std::abs(y) < 1;
    case 7:
      return std::abs(x) < 0.75 && std::abs(x) > 0.25 && std::abs(y) < 1;
    case 8:
      return r < 1 && y > 0;
    default:
      return m < 0.9 && x * y > 0;
  }
}

void Draw(int32_t shape, RandomStream& random, const ShapeOptions& options, uint8_t* out) {
  const double n = static_cast<double>(options.size);
  const double radius = n * (0.26 + 0.16 * random.Uniform());
  const double reach = std::max(0.0, n / 2 - radius - 0.5);
  const double cx = n / 2 + reach * (2 * random.Uniform() - 1);
  const double cy = n / 2 + reach * (2 * random.Uniform() - 1);
  const double angle = (random.Uniform() - 0.5) * 1.0;  // up to 29 degrees either way
  const double cosine = std::cos(angle), sine = std::sin(angle);
  const double back = 0.1 + 0.3 * random.Uniform(), front = 0.6 + 0.3 * random.Uniform();
  constexpr int kGrid = 4;  // samples per pixel and axis
  for (int64_t py = 0; py < options.size; ++py) {
    for (int64_t px = 0; px < options.size; ++px) {
      int hits = 0;
      for (int s = 0; s < kGrid * kGrid; ++s) {
        const double x = (static_cast<double>(px) + (s % kGrid + 0.5) / kGrid - cx) / radius;
        const double y = (static_cast<double>(py) + (s / kGrid + 0.5) / kGrid - cy) / radius;
        hits += Inside(shape, cosine * x + sine * y, cosine * y - sine * x);
      }
      const double cover = hits / static_cast<double>(kGrid * kGrid);
      const double value = back + cover * (front - back) + options.noise * random.Normal();
      *out++ = static_cast<uint8_t>(std::lround(255 * std::clamp(value, 0.0, 1.0)));
    }
  }
}

}  // namespace

std::string_view ShapeName(int32_t label) { return kNames.at(static_cast<size_t>(label)); }

ImageDataset SyntheticShapes(const ShapeOptions& options, uint64_t seed) {
  if (options.count < 1 || options.size < 4 || options.size > 1024 || !(options.noise >= 0)) {
    throw UsageError("shapes need count >= 1, size in [4, 1024] and noise >= 0");
  }
  const int64_t plane = options.size * options.size;
  std::vector<uint8_t> pixels(static_cast<size_t>(options.count * plane));
  std::vector<int32_t> labels(static_cast<size_t>(options.count));
  for (int64_t i = 0; i < options.count; ++i) {
    const uint64_t number = options.first + static_cast<uint64_t>(i);
    RandomStream random(seed, "data.shapes", number);
    labels[i] = static_cast<int32_t>(number % 10);
    Draw(labels[i], random, options, pixels.data() + i * plane);
  }
  return ImageDataset(1, options.size, options.size, std::move(pixels), std::move(labels), 10);
}

}  // namespace orchard::data
