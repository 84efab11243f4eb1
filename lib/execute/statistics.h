// Medians, and the line through measured transfer times.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace orchard::execute {

// Mean of the two middle values for an even number; 0 for none.
double Median(std::vector<double> values);

// One size and the median time that it took.
struct TransferTime {
  int64_t bytes = 0;
  double us = 0;
};

// us = us_per_byte * bytes + latency_us. Least squares over absolute errors would leave the latency
// to the noise of the large sizes, so the slope comes from sizes of at least 1 MB (least squares of
// relative errors), and the latency is the median over the small ones of what is left. Neither is
// negative. `r2` is the part of the variance of log(time) that the line explains.
struct LinkFit {
  double us_per_byte = 0, latency_us = 0, r2 = 0;
};
LinkFit FitLink(std::span<const TransferTime> times);

}  // namespace orchard::execute
