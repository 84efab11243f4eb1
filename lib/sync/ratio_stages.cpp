#include "sync/ratio_stages.h"

#include <algorithm>
#include <cmath>

namespace orchard::sync {

RatioStages StagesOf(const std::function<double(int64_t)>& rate, int64_t steps, int64_t dense_steps,
                     double largest_factor) {
  RatioStages stages;
  const auto add = [&](int64_t step, double factor) {
    const double before = stages.empty() ? 1 : stages.back().factor;
    if (factor != before) stages.push_back({step, factor});
  };
  if (dense_steps > 0) add(1, 0);
  double peak = 0, factor = 1;
  int64_t peak_step = 1;
  for (int64_t t = 1; t <= steps; ++t) {
    if (rate(t) > peak) peak = rate(t), peak_step = t;
  }
  for (int64_t t = dense_steps + 1; t <= steps; ++t) {
    const double now = rate(t);
    if (t > peak_step && now > 0) {
      // A little above, so that a rate that has fallen to exactly a half counts as that.
      const double wanted = std::exp2(std::floor(std::log2(peak / now) + 1e-9));
      factor = std::max(factor, std::min(wanted, largest_factor));
    }
    add(t, factor);
  }
  return stages;
}

}  // namespace orchard::sync
