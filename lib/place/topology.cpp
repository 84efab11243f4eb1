#include "place/topology.h"

#include "place/graph.h"

namespace orchard::place {

void IndexEdges(const std::vector<Edge>& edges, int32_t nodes, std::vector<int32_t>& out_begin,
                std::vector<int32_t>& in_begin, std::vector<int32_t>& in_edges) {
  out_begin.assign(nodes + 1, 0);
  in_begin.assign(nodes + 1, 0);
  for (const Edge& edge : edges) {
    ++out_begin[edge.src + 1];
    ++in_begin[edge.dst + 1];
  }
  for (int32_t i = 0; i < nodes; ++i) {
    out_begin[i + 1] += out_begin[i];
    in_begin[i + 1] += in_begin[i];
  }
  in_edges.resize(edges.size());
  std::vector<int32_t> next(in_begin.begin(), in_begin.end() - 1);
  for (size_t e = 0; e < edges.size(); ++e)
    in_edges[next[edges[e].dst]++] = static_cast<int32_t>(e);
}

std::vector<int32_t> TopologicalOrder(const std::vector<Edge>& edges,
                                      const std::vector<int32_t>& out_begin) {
  const auto nodes = static_cast<int32_t>(out_begin.size()) - 1;
  std::vector<int32_t> waiting(nodes, 0), order;
  for (const Edge& edge : edges) ++waiting[edge.dst];
  order.reserve(nodes);
  for (int32_t i = 0; i < nodes; ++i) {
    if (waiting[i] == 0) order.push_back(i);
  }
  for (size_t at = 0; at < order.size(); ++at) {
    for (int32_t e = out_begin[order[at]]; e < out_begin[order[at] + 1]; ++e) {
      if (--waiting[edges[e].dst] == 0) order.push_back(edges[e].dst);
    }
  }
  return order;
}

std::vector<int32_t> TopologicalIndex(const std::vector<Edge>& edges,
                                      const std::vector<int32_t>& out_begin) {
  const std::vector<int32_t> order = TopologicalOrder(edges, out_begin);
  std::vector<int32_t> index(out_begin.size() - 1, -1);
  for (size_t at = 0; at < order.size(); ++at) index[order[at]] = static_cast<int32_t>(at);
  return index;
}

std::vector<int32_t> FindCycle(const std::vector<Edge>& edges,
                               const std::vector<int32_t>& out_begin) {
  const auto nodes = static_cast<int32_t>(out_begin.size()) - 1;
  const std::vector<int32_t> index = TopologicalIndex(edges, out_begin);
  // Every node left over has a producer that is left over; going back along those must repeat one.
  std::vector<int32_t> producer(nodes, -1);
  int32_t node = -1;
  for (const Edge& edge : edges) {
    if (index[edge.src] < 0 && index[edge.dst] < 0) {
      producer[edge.dst] = edge.src;
      node = edge.dst;
    }
  }
  if (node < 0) return {};
  std::vector<uint8_t> seen(nodes, 0);
  while (!seen[node]) {
    seen[node] = 1;
    node = producer[node];
  }
  std::vector<int32_t> backwards;
  for (int32_t at = node; backwards.empty() || at != node; at = producer[at])
    backwards.push_back(at);
  return {backwards.rbegin(), backwards.rend()};
}

}  // namespace orchard::place
