#include "place/move_units.h"

#include <algorithm>

namespace orchard::place {

MoveUnits::MoveUnits(const Problem& problem, const std::vector<int32_t>& unit_of_op) {
  int32_t units = 0;
  for (int32_t unit : unit_of_op) units = std::max(units, unit + 1);
  ops.resize(units);
  neighbours.resize(units);
  pinned.assign(units, 0);
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    ops[unit_of_op[i]].push_back(i);
    if (problem.group_pin[problem.ops.group[i]] >= 0) pinned[unit_of_op[i]] = 1;
  }
  for (const Edge& edge : problem.ops.edges) {
    const int32_t a = unit_of_op[edge.src], b = unit_of_op[edge.dst];
    if (a == b) continue;
    neighbours[a].push_back(b);
    neighbours[b].push_back(a);
  }
  for (auto& list : neighbours) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  }
  for (int32_t u = 0; u < units; ++u) {
    if (!pinned[u]) movable.push_back(u);
  }
}

}  // namespace orchard::place
