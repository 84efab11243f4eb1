// The best order of the operators of a placement, by branch and bound.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "place/plan.h"

namespace orchard::place {

// What a search may still spend; shared by many of them.
struct SearchBudget {
  int64_t nodes = 2'000'000;
  double deadline = 1e300;  // of the steady clock, in seconds
  bool Spend();             // one node; false when nothing is left
};

struct OrderSearchResult {
  std::optional<std::vector<int32_t>> order;  // of all operators: feasible, and faster than asked
  Time makespan = kNever;                     // of that order
  std::optional<Evaluated> with_host;         // that order, where it has parameters on the host
  bool finished = false;                      // else the budget ran out, and a faster one may exist
};

// Goes through all orders in which the devices can run `device` (one per operator): operators are
// appended in the order of their starts, each as early as it can. With parallel links and memory
// that cannot bind these are the active schedules, among which there is an optimum. Otherwise every
// complete order is simulated, its memory replayed, and times with free links prune. Updates of a
// training step run last on their devices. `below`: only what is faster counts. With `offload` each
// order that could be faster is searched as SearchFetches does, too.
OrderSearchResult SearchOrders(const Problem& problem, const std::vector<int32_t>& device,
                               Time below, SearchBudget& budget, bool offload = false);

}  // namespace orchard::place
