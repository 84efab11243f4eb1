// Simulated annealing over the devices of groups, by simulation.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "place/plan.h"

namespace orchard::place {

struct RefineOptions {
  int64_t steps = 0;   // of each chain; 0: until the time is over
  double seconds = 0;  // 0: no limit. With a limit, results depend on the machine's speed.
  int32_t chains = 4;  // independent; the best one counts, whatever the number of threads
  uint64_t seed = 0;
  int threads = 1;
};

// Starts chain k from starts[k % starts.size()] (devices of all operators; groups intact) and
// returns the best found, never worse than any start: where memory binds, less excess first, then
// makespan. Polls StopRequested(). `progress` is told the best makespan so far now and then.
std::vector<int32_t> Refine(const Problem& problem, const std::vector<std::vector<int32_t>>& starts,
                            const RefineOptions& options,
                            const std::function<void(Time best)>& progress = {});

}  // namespace orchard::place
