#include "execute/statistics.h"

#include <algorithm>
#include <cmath>

namespace orchard::execute {
namespace {

constexpr int64_t kLarge = 1'000'000;

}  // namespace

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

LinkFit FitLink(std::span<const TransferTime> times) {
  LinkFit fit;
  // Weighted least squares of t = a n + c over the large sizes, weights 1 / t^2.
  double w = 0, wn = 0, wt = 0, wnn = 0, wnt = 0;
  for (const TransferTime& t : times) {
    if (t.bytes < kLarge || t.us <= 0) continue;
    const double n = static_cast<double>(t.bytes), weight = 1 / (t.us * t.us);
    w += weight;
    wn += weight * n;
    wt += weight * t.us;
    wnn += weight * n * n;
    wnt += weight * n * t.us;
  }
  const double spread = w * wnn - wn * wn;
  if (spread > 0) fit.us_per_byte = std::max(0.0, (w * wnt - wn * wt) / spread);
  std::vector<double> left;
  for (const TransferTime& t : times) {
    if (t.bytes < kLarge) left.push_back(t.us - fit.us_per_byte * static_cast<double>(t.bytes));
  }
  fit.latency_us = std::max(0.0, Median(left));
  double mean = 0, total = 0, rest = 0;
  for (const TransferTime& t : times) mean += std::log(std::max(t.us, 1e-9));
  mean /= static_cast<double>(std::max<size_t>(1, times.size()));
  for (const TransferTime& t : times) {
    const double line = fit.us_per_byte * static_cast<double>(t.bytes) + fit.latency_us;
    const double log = std::log(std::max(t.us, 1e-9));
    total += (log - mean) * (log - mean);
    rest += std::pow(log - std::log(std::max(line, 1e-9)), 2);
  }
  fit.r2 = total > 0 ? 1 - rest / total : 1;
  return fit;
}

}  // namespace orchard::execute
