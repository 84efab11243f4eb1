// What refinement moves together: the groups that must share a device, or whole coplaced groups.
#pragma once

#include <cstdint>
#include <vector>

#include "place/plan.h"

namespace orchard::place {

struct MoveUnits {
  // `unit_of_op` never divides a group of the problem.
  MoveUnits(const Problem& problem, const std::vector<int32_t>& unit_of_op);

  std::vector<std::vector<int32_t>> ops;         // of each unit
  std::vector<std::vector<int32_t>> neighbours;  // units that exchange tensors with it
  std::vector<int32_t> movable;                  // units without a pin
  std::vector<uint8_t> pinned;                   // of each unit
  int32_t size() const { return static_cast<int32_t>(ops.size()); }
};

}  // namespace orchard::place
