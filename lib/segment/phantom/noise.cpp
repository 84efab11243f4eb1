#include "segment/phantom/noise.h"

#include <algorithm>
#include <cmath>

namespace orchard::segment {
namespace {

using volume::Size3;
using volume::Spacing3;

// What values of deviation 1 have at each place of a line after this filter with continued edges,
// which count their last value more than once.
std::vector<double> Deviations(int64_t length, const std::vector<double>& weight) {
  const int64_t reach = std::ssize(weight) / 2;
  std::vector<double> deviations;
  for (int64_t i = 0; i < length; ++i) {
    std::vector<double> of(static_cast<size_t>(length));
    for (int64_t d = -reach; d <= reach; ++d)
      of[static_cast<size_t>(std::clamp<int64_t>(i + d, 0, length - 1))] +=
          weight[static_cast<size_t>(d + reach)];
    double squares = 0;
    for (const double w : of) squares += w * w;
    deviations.push_back(std::sqrt(squares));
  }
  return deviations;
}

// One axis of a Gaussian filter of `sigma` voxels, edges continued.
void Smooth(std::vector<double>& values, const Size3& size, size_t axis, double sigma,
            Edges edges) {
  const auto reach = static_cast<int64_t>(std::ceil(3 * sigma));
  std::vector<double> weight;
  for (int64_t d = -reach; d <= reach; ++d) {
    const double x = static_cast<double>(d) / sigma;
    weight.push_back(std::exp(-0.5 * x * x));
  }
  const std::vector<double> part =
      edges == Edges::kEven ? Deviations(size[axis], weight) : std::vector<double>();
  int64_t step = 1;
  for (size_t a = 0; a < axis; ++a) step *= size[a];
  const int64_t length = size[axis], lines = volume::Voxels(size) / length;
  std::vector<double> row(static_cast<size_t>(length));
  for (int64_t l = 0; l < lines; ++l) {
    double* line = values.data() + l / step * step * length + l % step;
    for (int64_t i = 0; i < length; ++i) {
      double sum = 0;
      for (int64_t d = -reach; d <= reach; ++d) {
        const int64_t from = std::clamp<int64_t>(i + d, 0, length - 1);
        sum += weight[static_cast<size_t>(d + reach)] * line[from * step];
      }
      row[static_cast<size_t>(i)] = part.empty() ? sum : sum / part[static_cast<size_t>(i)];
    }
    for (int64_t i = 0; i < length; ++i) line[i * step] = row[static_cast<size_t>(i)];
  }
}

}  // namespace

void Standardise(std::vector<double>& values, double deviation) {
  double mean = 0, squares = 0;
  for (const double v : values) mean += v;
  mean /= static_cast<double>(values.size());
  for (const double v : values) squares += (v - mean) * (v - mean);
  const double scale =
      deviation / std::max(1e-8, std::sqrt(squares / static_cast<double>(values.size())));
  for (double& v : values) v = (v - mean) * scale;
}

std::vector<double> SmoothNoise(const Size3& size, const Spacing3& spacing, double sigma,
                                double deviation, Edges edges, data::RandomStream& random) {
  std::vector<double> values(static_cast<size_t>(volume::Voxels(size)));
  for (double& v : values) v = random.Normal();
  for (size_t a = 0; a < 3; ++a) {
    if (size[a] > 1) Smooth(values, size, a, sigma / spacing[a], edges);
  }
  Standardise(values, deviation);
  return values;
}

}  // namespace orchard::segment
