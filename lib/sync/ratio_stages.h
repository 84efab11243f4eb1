// A compression ratio that changes over a run: from a step on, the wanted ratio times a factor.
//
// The part of CSER's error bound that compression causes grows with (learning rate x ratio)^2, so
// as the learning rate decays the ratio can rise without the bound growing.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace orchard::sync {

struct RatioStage {
  int64_t first_step = 1;  // from 1
  double factor = 1;       // of the ratios; 0: nothing is compressed
  bool operator==(const RatioStage&) const = default;
};
// In rising order of their first steps. Before the first one the factor is 1.
using RatioStages = std::vector<RatioStage>;

// The stages of a run of `steps` steps whose update number t (from 1) has learning rate rate(t):
// nothing is compressed for `dense_steps` steps; after the peak of the learning rate the factor is
// the largest power of two at most peak / rate, but no more than `largest_factor` (1: it stays 1).
RatioStages StagesOf(const std::function<double(int64_t)>& rate, int64_t steps, int64_t dense_steps,
                     double largest_factor);

}  // namespace orchard::sync
