// Simulated annealing by batches of candidate plans: many chains at once, for a GPU.
//
// A chain is a block of place/batch_simulate.h: a plan and 32 moves of it, simulated together. The
// first move that would be accepted is, as if they had been tried one after the other. Operators
// run in the order of the plan, which moves change too. Now and then the chains that are worst go
// on from what the best have found.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "place/refine.h"

namespace orchard::place {

struct BatchRefineOptions {
  int64_t batches = 0;  // 0: until the time is over
  double seconds = 0;   // 0: no limit
  int64_t chains = 256;
  uint64_t seed = 0;
  int threads = 1;
  std::optional<int> cuda;  // device; without: the CPU
};

// Whether batches can simulate the problem (BatchGraph::Supports) and something can move.
bool CanBatchRefine(const Problem& problem);

// As Refine(): never worse than any start, which must be complete plans: rank gives the order of
// all operators, each behind its producers. The same result for any number of threads and on any
// device where `batches` ends it. Throws as BatchSimulator.
Candidate BatchRefine(const Problem& problem, const std::vector<Candidate>& starts,
                      const BatchRefineOptions& options, const RefineCalls& calls = {});

}  // namespace orchard::place
