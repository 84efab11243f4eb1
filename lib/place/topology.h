// Facts about the shape of a graph given by edges that lie sorted by producer. None recurses, so
// that chains of any length are fine.
#pragma once

#include <cstdint>
#include <vector>

namespace orchard::place {

struct Edge;

// Fills the index of `edges`, which are sorted by `src`: edges of node i are [out_begin[i],
// out_begin[i + 1]); edges into node i are in_edges[in_begin[i] ..), ordered by producer.
void IndexEdges(const std::vector<Edge>& edges, int32_t nodes, std::vector<int32_t>& out_begin,
                std::vector<int32_t>& in_begin, std::vector<int32_t>& in_edges);

// Kahn's order with a first-in-first-out queue: sources in node order, successors in edge order.
// The nodes of a cycle, and those behind one, are missing.
std::vector<int32_t> TopologicalOrder(const std::vector<Edge>& edges,
                                      const std::vector<int32_t>& out_begin);

// Position of every node in that order: the tie-breaker of every algorithm.
std::vector<int32_t> TopologicalIndex(const std::vector<Edge>& edges,
                                      const std::vector<int32_t>& out_begin);

// The nodes of one cycle, each the producer of the next and the last of the first; empty when there
// is none.
std::vector<int32_t> FindCycle(const std::vector<Edge>& edges,
                               const std::vector<int32_t>& out_begin);

}  // namespace orchard::place
