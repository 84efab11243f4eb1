#include "segment/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/hash.h"
#include "base/philox.h"
#include "volume/surface.h"

namespace orchard::segment {
namespace {

double Mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Means of resampled values, sorted.
std::vector<double> BootstrapMeans(std::span<const double> values, int64_t resamples, Philox2 key) {
  const auto count = static_cast<uint64_t>(values.size());
  std::vector<double> means(static_cast<size_t>(resamples));
  for (int64_t r = 0; r < resamples; ++r) {
    double sum = 0;
    Philox4 block{};
    for (uint64_t n = 0; n < count; ++n) {
      if (n % 4 == 0) block = PhiloxAt(key, n / 4, static_cast<uint64_t>(r));
      // The high part of a product: uniform to 2^-32 * count.
      sum += values[static_cast<size_t>((block.word[n % 4] * count) >> 32)];
    }
    means[static_cast<size_t>(r)] = sum / static_cast<double>(count);
  }
  std::sort(means.begin(), means.end());
  return means;
}

// P(W <= w) for ranks 1..n with random signs, by counting the subsets of each sum.
double ExactLowerTail(size_t n, double w) {
  const size_t most = n * (n + 1) / 2;
  std::vector<double> ways(most + 1, 0);
  ways[0] = 1;
  for (size_t rank = 1; rank <= n; ++rank)
    for (size_t sum = most; sum >= rank; --sum) ways[sum] += ways[sum - rank];
  double tail = 0;
  for (size_t sum = 0; static_cast<double>(sum) <= w && sum <= most; ++sum) tail += ways[sum];
  return tail / std::pow(2.0, static_cast<double>(n));
}

}  // namespace

Distribution Describe(std::span<const double> all, int64_t resamples, uint64_t seed,
                      std::string_view purpose) {
  std::vector<double> values;
  for (double value : all)
    if (!std::isnan(value)) values.push_back(value);
  Distribution d;
  d.cases = static_cast<int64_t>(values.size());
  d.undefined = static_cast<int64_t>(all.size()) - d.cases;
  if (values.empty()) {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    d.mean = d.std = d.median = d.q1 = d.q3 = d.min = d.max = d.low = d.high = kNone;
    return d;
  }
  std::sort(values.begin(), values.end());
  d.mean = Mean(values);
  d.min = values.front();
  d.max = values.back();
  d.median = volume::Quantile(values, 0.5);
  d.q1 = volume::Quantile(values, 0.25);
  d.q3 = volume::Quantile(values, 0.75);
  d.low = d.high = d.mean;
  if (values.size() == 1) return d;
  double squares = 0;
  for (double value : values) squares += (value - d.mean) * (value - d.mean);
  d.std = std::sqrt(squares / static_cast<double>(values.size() - 1));
  const std::vector<double> means =
      BootstrapMeans(values, resamples, PhiloxKey(seed, Hash64(std::string(purpose))));
  d.low = volume::Quantile(means, 0.025);
  d.high = volume::Quantile(means, 0.975);
  return d;
}

double WilcoxonP(std::span<const double> differences) {
  std::vector<double> d;
  for (double value : differences)
    if (value != 0 && !std::isnan(value)) d.push_back(value);
  const bool zeros = d.size() < differences.size();
  const size_t n = d.size();
  if (n == 0) return 1;
  std::sort(d.begin(), d.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
  double positive = 0, tie_term = 0;
  bool ties = false;
  for (size_t begin = 0, end = 0; begin < n; begin = end) {
    while (end < n && std::abs(d[end]) == std::abs(d[begin])) ++end;
    const double rank = static_cast<double>(begin + end + 1) / 2,
                 count = static_cast<double>(end - begin);
    ties = ties || end - begin > 1;
    tie_term += count * count * count - count;
    for (size_t i = begin; i < end; ++i) positive += d[i] > 0 ? rank : 0;
  }
  const auto count = static_cast<double>(n);
  const double total = count * (count + 1) / 2, least = std::min(positive, total - positive);
  // scipy counts exactly for up to 50 differences when nothing is tied or zero.
  if (n <= 50 && !ties && !zeros) return std::min(1.0, 2 * ExactLowerTail(n, least));
  const double variance = count * (count + 1) * (2 * count + 1) / 24 - tie_term / 48;
  const double z = (positive - total / 2) / std::sqrt(variance);
  return std::erfc(std::abs(z) / std::sqrt(2.0));
}

}  // namespace orchard::segment
