#include "data/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include "base/error.h"

namespace orchard::data {
namespace {

void CheckSizes(size_t predicted, size_t truth) {
  if (predicted != truth || predicted == 0) {
    throw UsageError("a score needs as many predictions as truths, and at least one");
  }
}

std::vector<double> Ranks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t i = 0; i < order.size();) {
    size_t j = i;
    while (j < order.size() && values[order[j]] == values[order[i]]) ++j;
    for (size_t k = i; k < j; ++k) ranks[order[k]] = 0.5 * static_cast<double>(i + j - 1) + 1;
    i = j;
  }
  return ranks;
}

}  // namespace

double Accuracy(std::span<const int32_t> predicted, std::span<const int32_t> truth) {
  CheckSizes(predicted.size(), truth.size());
  int64_t right = 0;
  for (size_t i = 0; i < truth.size(); ++i) right += predicted[i] == truth[i];
  return static_cast<double>(right) / static_cast<double>(truth.size());
}

double F1(std::span<const int32_t> predicted, std::span<const int32_t> truth, int32_t positive) {
  CheckSizes(predicted.size(), truth.size());
  double both = 0, either = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    both += predicted[i] == positive && truth[i] == positive;
    either += (predicted[i] == positive) + (truth[i] == positive);
  }
  return either == 0 ? 0 : 2 * both / either;
}

double Matthews(std::span<const int32_t> predicted, std::span<const int32_t> truth) {
  CheckSizes(predicted.size(), truth.size());
  std::map<int32_t, std::pair<double, double>> counts;  // class -> predicted, true
  double right = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    ++counts[predicted[i]].first;
    ++counts[truth[i]].second;
    right += predicted[i] == truth[i];
  }
  const double n = static_cast<double>(truth.size());
  double cross = 0, squares_predicted = 0, squares_true = 0;
  for (const auto& [label, count] : counts) {
    cross += count.first * count.second;
    squares_predicted += count.first * count.first;
    squares_true += count.second * count.second;
  }
  const double scale = (n * n - squares_predicted) * (n * n - squares_true);
  return scale == 0 ? 0 : (right * n - cross) / std::sqrt(scale);
}

double Pearson(std::span<const double> predicted, std::span<const double> truth) {
  CheckSizes(predicted.size(), truth.size());
  const double n = static_cast<double>(truth.size());
  const double mean_x = std::accumulate(predicted.begin(), predicted.end(), 0.0) / n;
  const double mean_y = std::accumulate(truth.begin(), truth.end(), 0.0) / n;
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    const double x = predicted[i] - mean_x, y = truth[i] - mean_y;
    xx += x * x;
    yy += y * y;
    xy += x * y;
  }
  if (xx == 0 || yy == 0) return std::numeric_limits<double>::quiet_NaN();
  return std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0);
}

double Spearman(std::span<const double> predicted, std::span<const double> truth) {
  CheckSizes(predicted.size(), truth.size());
  return Pearson(Ranks(predicted), Ranks(truth));
}

}  // namespace orchard::data
