// The best placement of a graph with few groups, by trying all.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "place/plan.h"

namespace orchard::place {

// Whether devices can swap names without any change: equal, equally linked, and without pins.
bool DevicesAreAlike(const Problem& problem);

// How many placements of the groups there are to try: those that differ by more than the names of
// equal devices. nullopt: more than `limit`.
std::optional<int64_t> CountPlacements(const Problem& problem, int64_t limit);

// The best of all placements under Evaluate: what fits first, then the makespan. Orders within a
// device are those of Evaluate, so a better order may exist.
Evaluated TryAll(const Problem& problem);

}  // namespace orchard::place
