// What many cases say together: means with bootstrap intervals, and paired comparisons.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace orchard::segment {

struct Distribution {
  int64_t cases = 0,
          undefined = 0;     // values that are numbers (or infinite), and those that are not
  double mean = 0, std = 0;  // of a sample (n - 1); 0 for one value
  double median = 0, q1 = 0, q3 = 0, min = 0, max = 0;
  double low = 0, high = 0;  // 95 % bootstrap interval of the mean (percentiles)
};

// NaN counts as undefined and is left out; without other values everything is NaN. Resamples are
// keyed by (seed, purpose, index): the same for any number of threads.
Distribution Describe(std::span<const double> values, int64_t resamples, uint64_t seed,
                      std::string_view purpose);

// Wilcoxon's signed-rank test of paired differences, two-sided: zeros left out (Wilcoxon's rule),
// ties share their mean rank. Exact for up to 50 differences without ties and zeros, else the
// normal approximation with correction for ties, without one for continuity: scipy.stats.wilcoxon's
// defaults. 1 when no difference is left.
double WilcoxonP(std::span<const double> differences);

}  // namespace orchard::segment
