#include "segment/repro/corruption.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "data/random_stream.h"
#include "volume/resize.h"

namespace orchard::segment::repro {
namespace {

struct Moments {
  double mean = 0, deviation = 1;
};

Moments MomentsOf(std::span<const float> values) {
  double sum = 0, squares = 0;
  for (const float v : values) sum += v;
  const double mean = sum / static_cast<double>(values.size());
  for (const float v : values) squares += (v - mean) * (v - mean);
  return {mean, std::max(1e-8, std::sqrt(squares / static_cast<double>(values.size())))};
}

// One axis of a Gaussian filter, edges continued. Neighbours along the axis are `step` apart.
void Blur(std::span<float> values, int64_t length, int64_t step, double sigma) {
  const auto reach = static_cast<int64_t>(std::ceil(3 * sigma));
  std::vector<double> weight;
  double total = 0;
  for (int64_t d = -reach; d <= reach; ++d) {
    weight.push_back(std::exp(-0.5 * static_cast<double>(d * d) / (sigma * sigma)));
    total += weight.back();
  }
  std::vector<double> line(static_cast<size_t>(length));
  for (int64_t first = 0; first < std::ssize(values); ++first) {
    if (first / step % length != 0) continue;  // not the beginning of a line
    for (int64_t i = 0; i < length; ++i) {
      double sum = 0;
      for (int64_t d = -reach; d <= reach; ++d) {
        const int64_t from = std::clamp<int64_t>(i + d, 0, length - 1);
        sum += weight[static_cast<size_t>(d + reach)] *
               values[static_cast<size_t>(first + from * step)];
      }
      line[static_cast<size_t>(i)] = sum / total;
    }
    for (int64_t i = 0; i < length; ++i)
      values[static_cast<size_t>(first + i * step)] =
          static_cast<float>(line[static_cast<size_t>(i)]);
  }
}

void Gamma(std::span<float> values, double exponent) {
  const Moments before = MomentsOf(values);
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double least = *low, range = std::max(1e-8, static_cast<double>(*high) - *low);
  for (float& v : values) v = static_cast<float>(std::pow((v - least) / range, exponent));
  const Moments after = MomentsOf(values);
  for (float& v : values) {
    v = static_cast<float>(before.mean + (v - after.mean) * before.deviation / after.deviation);
  }
}

}  // namespace

std::string NameOf(Corruption kind, int level) {
  constexpr const char* kNames[] = {"", "noise", "blur", "gamma", "coarse"};
  if (kind == Corruption::kNone) return "";
  return fmt::format("{} {}", kNames[static_cast<int>(kind)], level);
}

void Corrupt(PreparedImage& image, Corruption kind, int level, uint64_t seed, ThreadPool& pool) {
  const auto voxels = static_cast<size_t>(volume::Voxels(image.size));
  const volume::Size3& size = image.size;
  data::RandomStream random(seed, "corruption", static_cast<uint64_t>(level));
  for (int64_t m = 0; m < image.channels; ++m) {
    const auto values = std::span(image.values).subspan(static_cast<size_t>(m) * voxels, voxels);
    switch (kind) {
      case Corruption::kNone:
        break;
      case Corruption::kNoise:
        for (float& v : values) v += static_cast<float>(std::ldexp(0.125, level) * random.Normal());
        break;
      case Corruption::kBlur:
        Blur(values, size[0], 1, 0.7 * level);
        Blur(values, size[1], size[0], 0.7 * level);
        Blur(values, size[2], size[0] * size[1], 0.7 * level);
        break;
      case Corruption::kGamma:
        Gamma(values, std::pow(1.5, level));
        break;
      case Corruption::kCoarse: {
        constexpr double kParts[] = {1, 2.0 / 3, 0.5, 1.0 / 3};
        volume::Size3 small;
        for (size_t a = 0; a < 3; ++a)
          small[a] =
              std::max<int64_t>(1, std::llround(kParts[level] * static_cast<double>(size[a])));
        constexpr volume::Interpolation3 kLinear = {volume::Interpolation::kLinear,
                                                    volume::Interpolation::kLinear,
                                                    volume::Interpolation::kLinear};
        const std::vector<float> coarse = volume::Resize(values, size, small, kLinear, pool);
        const std::vector<float> back = volume::Resize(coarse, small, size, kLinear, pool);
        std::copy(back.begin(), back.end(), values.begin());
        break;
      }
    }
  }
}

}  // namespace orchard::segment::repro
