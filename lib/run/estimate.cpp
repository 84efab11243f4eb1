#include "run/estimate.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <vector>

#include "base/error.h"

namespace orchard::run {
namespace {

// Two-sided 95 % quantile of Student's t.
double StudentQuantile(int64_t degrees) {
  constexpr double kTable[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
                               2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
                               2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
                               2.060,  2.056, 2.052, 2.048, 2.045, 2.042};
  return degrees <= std::ssize(kTable) ? kTable[degrees - 1] : 1.96;
}

std::string Number(double value) {
  const double size = std::fabs(value);
  return size != 0 && (size < 1e-3 || size >= 1e6) ? fmt::format("{:.2e}", value)
                                                   : fmt::format("{:.4g}", value);
}

}  // namespace

Estimate Single(double value) { return {value, value, value, 1}; }

Estimate MeanOf(std::span<const double> runs) {
  if (runs.empty()) throw UsageError("an estimate needs at least one run");
  const auto n = static_cast<double>(runs.size());
  double mean = 0, square = 0;
  for (double value : runs) mean += value / n;
  if (runs.size() == 1) return Single(mean);
  for (double value : runs) square += (value - mean) * (value - mean);
  const double half = StudentQuantile(std::ssize(runs) - 1) * std::sqrt(square / (n - 1) / n);
  return {mean, mean - half, mean + half, std::ssize(runs)};
}

Estimate GeometricMeanOf(std::span<const double> runs) {
  std::vector<double> logarithms;
  for (double value : runs) logarithms.push_back(std::log(value));
  const Estimate e = MeanOf(logarithms);
  return {std::exp(e.mean), std::exp(e.low), std::exp(e.high), e.runs};
}

std::string Text(const Estimate& estimate) {
  if (estimate.runs == 1) return Number(estimate.mean);
  return fmt::format("{} [{}, {}]", Number(estimate.mean), Number(estimate.low),
                     Number(estimate.high));
}

}  // namespace orchard::run
