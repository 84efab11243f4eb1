// The best way to keep parameters on the host for one placement and one order of it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "place/order_search.h"
#include "place/plan.h"

namespace orchard::place {

struct FetchSearchResult {
  std::optional<Evaluated> best;  // fits, and faster than asked
  bool finished = false;          // else the budget ran out, and a faster one may exist
};

// Goes through all sets of operators whose parameters are on the host, all orders in which a
// device's link can fetch them, and all operators of the device whose end can start a fetch; each
// is simulated and its memory replayed. For one pass: an operator alone reads its parameters.
// `device` and `order` are of all operators. `below`: only what is faster counts.
FetchSearchResult SearchFetches(const Problem& problem, const std::vector<int32_t>& device,
                                const std::vector<int32_t>& order, Time below,
                                SearchBudget& budget);

}  // namespace orchard::place
