// How much a move of refinement takes at once: levels from coplaced groups to single groups.
#pragma once

#include <vector>

#include "place/move_units.h"
#include "place/plan.h"

namespace orchard::place {

// The levels, largest units first. In between coplaced groups and those that must share stand
// clusters that expensive edges hold together.
struct Granularity {
  explicit Granularity(const Problem& problem);
  std::vector<MoveUnits> levels;
};

}  // namespace orchard::place
