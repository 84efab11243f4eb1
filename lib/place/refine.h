// Simulated annealing over the devices of groups and the order of operators, by several chains.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "place/anneal.h"
#include "place/plan.h"

namespace orchard::place {

inline constexpr int32_t kRefineChains = 4;
// Rounds after which chains that are behind go on from what the best has found.
inline constexpr int32_t kRefineExchange = 5;

struct RefineOptions {
  int64_t steps = 0;   // of each chain; 0: until the time is over
  double seconds = 0;  // 0: no limit. With a limit, results depend on the machine's speed.
  int32_t chains = kRefineChains;  // with a time limit: as many as threads, if those are more
  uint64_t seed = 0;
  int threads = 1;
};

// The annealing between two rounds: what it takes to go on. With `steps`, one that was stored and
// read back gives what it would have given without a break.
struct RefineState {
  int32_t round = 0;   // rounds done
  double seconds = 0;  // spent
  std::vector<ChainState> chains;
};
inline constexpr int32_t kRefineRounds = 20;

struct RefineProgress {
  int64_t steps = 0;   // done by all chains
  double seconds = 0;  // spent
  Time best = kNever;  // makespan that fits; kNever: none yet
};

struct RefineCalls {
  std::function<void(const RefineProgress&)> progress;  // now and then, one call at a time
  std::function<void(const RefineState&)> checkpoint;   // after every round
};

// The annealing at its beginning: chain k starts from starts[k % starts.size()], groups intact.
RefineState BeginRefine(const Problem& problem, const std::vector<Candidate>& starts,
                        const RefineOptions& options);

// Whether the problem leaves anything to move.
bool CanRefine(const Problem& problem);

// Goes on from `state` to the end, or until StopRequested(), and returns the best found by all
// chains, never worse than any start: where memory binds, less excess first, then makespan.
Candidate Refine(const Problem& problem, RefineState state, const RefineOptions& options,
                 const RefineCalls& calls = {});

}  // namespace orchard::place
