// The best placement of a small graph, with a proof: canonical placements by branch and bound, each
// with its best order.
#pragma once

#include <cstdint>
#include <optional>

#include "place/order_search.h"
#include "place/plan.h"

namespace orchard::place {

inline constexpr int32_t kMaxExactGroups = 200;

struct ExactResult {
  std::optional<Evaluated> best;  // feasible and faster than the incumbent, where there is one
  Time bound = 0;                 // no placement and order that fit are faster
  int64_t placements = 0;         // complete ones that were looked into
  bool finished = false;          // else the budget ran out, and `bound` is the simple one
};

// Assigns groups in topological order, each to a used device or, where devices are alike, to the
// first unused one; leaves out what cannot beat the `incumbent` (kNever: none) by the longest path
// with the transfers that are certain, by a device's work, or by what must be held. Orders are
// searched as SearchOrders does. A bound of the incumbent's makespan proves it optimal: over all
// placements and orders with parallel links; with duplex and half-duplex links over all that the
// simulator's rule for transfers can make of them. More than kMaxExactGroups groups are refused
// (nothing found, not finished). With `offload`, for one pass, parameters may be on the host: which
// of them and when they come is searched as well.
ExactResult SearchPlacements(const Problem& problem, Time incumbent, SearchBudget& budget,
                             bool offload = false);

}  // namespace orchard::place
