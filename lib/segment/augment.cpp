#include "segment/augment.h"

#include <algorithm>
#include <cmath>

#include "volume/resample_element.h"
#include "volume/resize.h"
#include "volume/sliding_window.h"

namespace orchard::segment {
namespace {

using data::RandomStream;
using volume::Size3;

constexpr double kPi = 3.14159265358979323846;

double Between(RandomStream& random, double low, double high) {
  return low + (high - low) * random.Uniform();
}

using Matrix = std::array<std::array<double, 3>, 3>;

Matrix Product(const Matrix& a, const Matrix& b) {
  Matrix c{};
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j)
      for (size_t k = 0; k < 3; ++k) c[i][j] += a[i][k] * b[k][j];
  return c;
}

// A rotation about `axis` by `angle`.
Matrix Rotation(size_t axis, double angle) {
  Matrix m = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  const size_t a = (axis + 1) % 3, b = (axis + 2) % 3;
  m[a][a] = m[b][b] = std::cos(angle);
  m[a][b] = -std::sin(angle);
  m[b][a] = std::sin(angle);
  return m;
}

// Displacements of a lattice of five nodes an axis (one where the patch is flat), up to a twentieth
// of the patch.
void Bend(const Size3& patch, RandomStream& random, SpatialChange& change) {
  for (size_t a = 0; a < 3; ++a) change.lattice[a] = patch[a] > 1 ? 5 : 1;
  const double amount = Between(random, 0.01, 0.05);
  change.displacement.resize(static_cast<size_t>(volume::Voxels(change.lattice)));
  for (auto& node : change.displacement) {
    for (size_t a = 0; a < 3; ++a) {
      const double reach = patch[a] > 1 ? amount * static_cast<double>(patch[a]) : 0;
      node[a] = static_cast<float>(reach * std::clamp(random.Normal(), -2.0, 2.0));
    }
  }
}

// The displacement at a place of the lattice, trilinear.
std::array<double, 3> DisplacementAt(const SpatialChange& change, const std::array<float, 3>& at) {
  std::array<double, 3> sum{};
  std::array<int64_t, 3> low{};
  std::array<float, 3> past{};
  for (size_t a = 0; a < 3; ++a) low[a] = volume::FloorIndex(at[a], change.lattice[a], past[a]);
  for (int corner = 0; corner < 8; ++corner) {
    double weight = 1;
    std::array<int64_t, 3> node{};
    for (size_t a = 0; a < 3; ++a) {
      const bool up = (corner >> a & 1) != 0;
      node[a] = std::min(low[a] + (up ? 1 : 0), change.lattice[a] - 1);
      weight *= up ? past[a] : 1 - past[a];
    }
    const auto& d = change.displacement[static_cast<size_t>(
        volume::IndexOf(change.lattice, node[0], node[1], node[2]))];
    for (size_t a = 0; a < 3; ++a) sum[a] += weight * d[a];
  }
  return sum;
}

// ---- values

struct Moments {
  float low = 0, high = 0;
  double mean = 0, deviation = 0;
};

Moments MomentsOf(std::span<const float> values) {
  Moments m{values[0], values[0]};
  double squares = 0;
  for (const float v : values) {
    m.low = std::min(m.low, v);
    m.high = std::max(m.high, v);
    m.mean += v;
  }
  const auto count = static_cast<double>(values.size());
  m.mean /= count;
  for (const float v : values) squares += (v - m.mean) * (v - m.mean);
  m.deviation = std::sqrt(squares / count);
  return m;
}

void AddNoise(std::span<float> values, double deviation, RandomStream& random) {
  for (float& v : values) v += static_cast<float>(deviation * random.Normal());
}

void Blur(std::span<float> values, const Size3& size, double sigma) {
  const int64_t radius = std::max<int64_t>(1, std::llround(3 * sigma));
  std::vector<float> weight(static_cast<size_t>(2 * radius + 1));
  double sum = 0;
  for (int64_t t = -radius; t <= radius; ++t)
    sum += std::exp(-0.5 * static_cast<double>(t * t) / (sigma * sigma));
  for (int64_t t = -radius; t <= radius; ++t) {
    weight[static_cast<size_t>(t + radius)] =
        static_cast<float>(std::exp(-0.5 * static_cast<double>(t * t) / (sigma * sigma)) / sum);
  }
  std::vector<float> line;
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t n = size[axis];
    if (n == 1) continue;
    const int64_t step = axis == 0 ? 1 : axis == 1 ? size[0] : size[0] * size[1];
    line.resize(static_cast<size_t>(n));
    for (int64_t first = 0; first < volume::Voxels(size); ++first) {
      if (first / step % n != 0) continue;  // not the beginning of a line
      for (int64_t x = 0; x < n; ++x)
        line[static_cast<size_t>(x)] = values[static_cast<size_t>(first + x * step)];
      for (int64_t x = 0; x < n; ++x) {
        float v = 0;
        for (int64_t t = -radius; t <= radius; ++t) {
          v += weight[static_cast<size_t>(t + radius)] *
               line[static_cast<size_t>(std::clamp<int64_t>(x + t, 0, n - 1))];
        }
        values[static_cast<size_t>(first + x * step)] = v;
      }
    }
  }
}

void ChangeContrast(std::span<float> values, double factor) {
  const Moments m = MomentsOf(values);
  for (float& v : values) {
    v = std::clamp(static_cast<float>((v - m.mean) * factor + m.mean), m.low, m.high);
  }
}

void LowerResolution(std::span<float> values, const Size3& size, double zoom) {
  Size3 coarse = size;
  for (int64_t& n : coarse)
    n = n > 1 ? std::max<int64_t>(2, std::llround(static_cast<double>(n) * zoom)) : 1;
  ThreadPool alone(1);
  using volume::Interpolation;
  constexpr auto kNearest = Interpolation::kNearest, kCubic = Interpolation::kCubic;
  const std::vector<float> down =
      volume::Resize(values, size, coarse, {kNearest, kNearest, kNearest}, alone);
  const std::vector<float> up = volume::Resize(down, coarse, size, {kCubic, kCubic, kCubic}, alone);
  std::copy(up.begin(), up.end(), values.begin());
}

void ApplyGamma(std::span<float> values, double exponent, bool inverted) {
  const float sign = inverted ? -1.0f : 1.0f;
  for (float& v : values) v *= sign;
  const Moments before = MomentsOf(values);
  const float range = before.high - before.low;
  if (range > 1e-7f) {
    const auto power = static_cast<float>(exponent);
    for (float& v : values) v = std::pow((v - before.low) / range, power) * range + before.low;
    const Moments after = MomentsOf(values);
    const double factor = before.deviation / std::max(after.deviation, 1e-8);
    for (float& v : values) v = static_cast<float>((v - after.mean) * factor + before.mean);
  }
  for (float& v : values) v *= sign;
}

}  // namespace

SpatialChange DrawSpatialChange(const AugmentOptions& options, const Size3& patch,
                                const volume::Spacing3& spacing, bool is_template,
                                RandomStream& random) {
  SpatialChange change;
  if (!options.enabled) return change;
  const bool flat = patch[2] == 1;
  const bool in_plane = flat || spacing[2] > 3 * std::max(spacing[0], spacing[1]);
  if (random.Chance(options.rotate)) {
    double reach = 30;
    if (in_plane) {
      const double ratio = static_cast<double>(std::max(patch[0], patch[1])) /
                           static_cast<double>(std::min(patch[0], patch[1]));
      reach = ratio > 1.5 ? 15 : 180;
    }
    for (size_t axis = in_plane ? 2 : 0; axis < 3; ++axis) {
      const double angle = Between(random, -reach, reach) * kPi / 180;
      change.turn = Product(change.turn, Rotation(axis, angle));
    }
  }
  if (random.Chance(options.scale)) {
    const double zoom = Between(random, 0.7, 1.4);
    for (size_t a = 0; a < (flat ? 2u : 3u); ++a)
      for (size_t b = 0; b < 3; ++b) change.turn[a][b] /= zoom;
  }
  if (is_template && random.Chance(options.elastic)) Bend(patch, random, change);
  return change;
}

Patch CutPatch(const float* image, const uint8_t* labels, int64_t channels, const Size3& size,
               const Size3& patch, const Size3& start, const SpatialChange& change) {
  const int64_t voxels = volume::Voxels(patch), source_voxels = volume::Voxels(size);
  Patch out{.size = patch, .channels = channels};
  out.image.resize(static_cast<size_t>(channels * voxels));
  out.labels.assign(static_cast<size_t>(voxels), 0);
  if (change.identity()) {
    volume::GatherPatch(image, channels, size, patch, start, 0, out.image.data());
    for (int64_t k = 0, at = 0; k < patch[2]; ++k) {
      for (int64_t j = 0; j < patch[1]; ++j) {
        for (int64_t i = 0; i < patch[0]; ++i, ++at) {
          const Size3 from = {i + start[0], j + start[1], k + start[2]};
          bool inside = true;
          for (size_t a = 0; a < 3; ++a) inside = inside && from[a] >= 0 && from[a] < size[a];
          if (!inside) continue;
          out.labels[static_cast<size_t>(at)] =
              labels[volume::IndexOf(size, from[0], from[1], from[2])];
        }
      }
    }
    return out;
  }
  std::array<double, 3> centre{}, source_centre{};
  for (size_t a = 0; a < 3; ++a) {
    centre[a] = 0.5 * static_cast<double>(patch[a] - 1);
    source_centre[a] = static_cast<double>(start[a]) + centre[a];
  }
  for (int64_t k = 0, at = 0; k < patch[2]; ++k) {
    for (int64_t j = 0; j < patch[1]; ++j) {
      for (int64_t i = 0; i < patch[0]; ++i, ++at) {
        const std::array<double, 3> index = {static_cast<double>(i), static_cast<double>(j),
                                             static_cast<double>(k)};
        std::array<double, 3> offset{};
        for (size_t a = 0; a < 3; ++a) offset[a] = index[a] - centre[a];
        if (!change.displacement.empty()) {
          std::array<float, 3> place{};
          for (size_t a = 0; a < 3; ++a) {
            place[a] = static_cast<float>(index[a] * static_cast<double>(change.lattice[a] - 1) /
                                          static_cast<double>(std::max<int64_t>(1, patch[a] - 1)));
          }
          const auto d = DisplacementAt(change, place);
          for (size_t a = 0; a < 3; ++a) offset[a] += d[a];
        }
        std::array<float, 3> p{};
        for (size_t a = 0; a < 3; ++a) {
          double x = source_centre[a];
          for (size_t b = 0; b < 3; ++b) x += change.turn[a][b] * offset[b];
          p[a] = static_cast<float>(x);
        }
        if (!volume::OverGrid(p[0], p[1], p[2], size[0], size[1], size[2])) continue;
        for (int64_t c = 0; c < channels; ++c) {
          out.image[static_cast<size_t>(c * voxels + at)] = volume::SampleLinear(
              image + c * source_voxels, size[0], size[1], size[2], p[0], p[1], p[2]);
        }
        out.labels[static_cast<size_t>(at)] = labels[volume::IndexOf(
            size, volume::NearestIndex(p[0], size[0]), volume::NearestIndex(p[1], size[1]),
            volume::NearestIndex(p[2], size[2]))];
      }
    }
  }
  return out;
}

void ChangeValues(const AugmentOptions& options, Patch& patch, RandomStream& random) {
  if (!options.enabled) return;
  const auto voxels = static_cast<size_t>(volume::Voxels(patch.size));
  const auto channel = [&](int64_t c) {
    return std::span(patch.image).subspan(static_cast<size_t>(c) * voxels, voxels);
  };
  if (random.Chance(options.noise)) {
    const double deviation = std::sqrt(Between(random, 0, 0.1));
    AddNoise(patch.image, deviation, random);
  }
  if (random.Chance(options.blur)) {
    for (int64_t c = 0; c < patch.channels; ++c)
      if (random.Chance(0.5)) Blur(channel(c), patch.size, Between(random, 0.5, 1));
  }
  if (random.Chance(options.brightness)) {
    const auto factor = static_cast<float>(Between(random, 0.75, 1.25));
    for (float& v : patch.image) v *= factor;
  }
  if (random.Chance(options.contrast)) {
    const double factor = Between(random, 0.75, 1.25);
    for (int64_t c = 0; c < patch.channels; ++c) ChangeContrast(channel(c), factor);
  }
  if (random.Chance(options.low_resolution)) {
    for (int64_t c = 0; c < patch.channels; ++c)
      if (random.Chance(0.5)) LowerResolution(channel(c), patch.size, Between(random, 0.5, 1));
  }
  for (const bool inverted : {true, false}) {
    if (!random.Chance(inverted ? options.gamma_inverted : options.gamma)) continue;
    const double exponent = Between(random, 0.7, 1.5);
    for (int64_t c = 0; c < patch.channels; ++c) ApplyGamma(channel(c), exponent, inverted);
  }
}

std::array<bool, 3> DrawMirror(const AugmentOptions& options, RandomStream& random) {
  std::array<bool, 3> axes = {false, false, false};
  if (!options.enabled) return axes;
  for (const int64_t axis : options.mirror_axes) {
    axes[static_cast<size_t>(axis)] = random.Chance(options.mirror);
  }
  return axes;
}

void Mirror(Patch& patch, const std::array<bool, 3>& axes) {
  if (!axes[0] && !axes[1] && !axes[2]) return;
  const Size3& s = patch.size;
  const auto voxels = static_cast<size_t>(volume::Voxels(s));
  const auto turned = [&](auto* values) {
    std::vector<std::remove_pointer_t<decltype(values)>> old(values, values + voxels);
    size_t at = 0;
    for (int64_t k = 0; k < s[2]; ++k)
      for (int64_t j = 0; j < s[1]; ++j)
        for (int64_t i = 0; i < s[0]; ++i, ++at)
          values[at] = old[static_cast<size_t>(volume::IndexOf(s, axes[0] ? s[0] - 1 - i : i,
                                                               axes[1] ? s[1] - 1 - j : j,
                                                               axes[2] ? s[2] - 1 - k : k))];
  };
  for (int64_t c = 0; c < patch.channels; ++c)
    turned(patch.image.data() + static_cast<size_t>(c) * voxels);
  turned(patch.labels.data());
}

}  // namespace orchard::segment
