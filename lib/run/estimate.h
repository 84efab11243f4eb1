// A measured value over several runs, and how sure it is.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace orchard::run {

// A mean and its 95 % confidence interval: Student's t over the runs. One run has no width.
struct Estimate {
  double mean = 0, low = 0, high = 0;
  int64_t runs = 1;
};

Estimate Single(double value);
// Throw UsageError for no runs.
Estimate MeanOf(std::span<const double> runs);
// Of values > 0 that spread over orders of magnitude: mean and interval of their logarithms.
Estimate GeometricMeanOf(std::span<const double> runs);

// "1.20e-14" or "2.31 [2.25, 2.37]".
std::string Text(const Estimate& estimate);

}  // namespace orchard::run
