// A program as a graph to place, with what its operators cost.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "execute/executor.h"
#include "execute/program.h"
#include "place/graph.h"
#include "place/placement.h"

namespace orchard::execute {

// Of each operator; empty vectors: nothing known.
struct Costs {
  std::vector<double> us, backward_us, update_us;
  std::vector<int64_t> temp;
  std::vector<uint8_t> has_backward;
  std::string source;  // "profiled on cpu:0"
};

// By the operators' shapes, for a device that need not be here (place/analytic_cost.h).
Costs AnalyticCosts(const Program& program, const std::string& preset);

// Operators keep their order and names; parameters count once, at their first reader; tensors of
// the edges are output ports.
place::Graph MakeGraph(const Program& program, const Costs& costs);

// The layout of a placement, in its order or, where it has none, in the program's. Throws DataError
// when the graph is not the program's (names differ) or when the order waits for itself.
Layout LayoutOf(const Program& program, const place::Graph& graph, const place::Cluster& cluster,
                const place::Placement& placement);

}  // namespace orchard::execute
