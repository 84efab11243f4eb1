#include "place/recompute.h"

#include <algorithm>
#include <numeric>

#include "place/topology.h"
#include "place/training_step.h"

namespace orchard::place {
namespace {

struct Priced {
  std::vector<int32_t> ops;
  double us_per_byte = 0;
};

// Whether the forward graph stays free of cycles with every segment drawn together.
class Contraction {
 public:
  explicit Contraction(const Graph& forward) : forward_(forward), part_(forward.size()) {
    std::iota(part_.begin(), part_.end(), 0);
  }

  // Keeps the segment if it can stay.
  bool Add(const std::vector<int32_t>& ops) {
    for (int32_t i : ops) part_[i] = ops[0];
    if (Acyclic()) return true;
    for (int32_t i : ops) part_[i] = i;
    return false;
  }

 private:
  bool Acyclic() const {
    std::vector<Edge> edges;
    for (const Edge& edge : forward_.edges) {
      if (part_[edge.src] != part_[edge.dst]) edges.push_back({part_[edge.src], part_[edge.dst]});
    }
    std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) {
      return a.src != b.src ? a.src < b.src : a.dst < b.dst;
    });
    std::vector<int32_t> out_begin, in_begin, in_edges;
    IndexEdges(edges, forward_.size(), out_begin, in_begin, in_edges);
    return FindCycle(edges, out_begin).empty();
  }

  const Graph& forward_;
  std::vector<int32_t> part_;
};

// Bytes of the saved outputs that only operators of the segment read, and the time to make them.
Priced Price(const Problem& step, std::vector<int32_t> ops) {
  const Graph& forward = step.graph.step->forward;
  const auto inside = [&](int32_t i) { return std::find(ops.begin(), ops.end(), i) != ops.end(); };
  double us = 0;
  int64_t bytes = 0;
  for (int32_t i : ops) {
    const Op& op = forward.ops[i];
    us += op.us;
    std::vector<uint8_t> kept(op.out.size(), 0);
    for (int32_t e = forward.out_begin[i]; e < forward.out_begin[i + 1]; ++e) {
      if (inside(forward.edges[e].dst)) continue;
      for (int32_t t : forward.TensorsOf(e)) {
        if (forward.tensors[t].port >= 0) kept[forward.tensors[t].port] = 1;
      }
    }
    for (size_t port = 0; port < kept.size(); ++port) {
      if (!kept[port] && (op.saved.empty() || op.saved[port])) bytes += op.out[port];
    }
  }
  return {std::move(ops), bytes > 0 ? us / static_cast<double>(bytes) : -1};
}

}  // namespace

RecomputeSegments PricedSegments(const Problem& step, const std::vector<int32_t>& device,
                                 const std::vector<uint8_t>& over, int32_t size) {
  const StepOrigin& origin = *step.graph.step;
  std::vector<uint8_t> eligible(origin.forward.size(), 0);
  for (const StepOp& op : origin.ops) {
    if (op.kind == StepKind::kBackward && !op.once) eligible[op.forward] = 1;
  }
  std::vector<Priced> priced;
  std::vector<std::vector<int32_t>> open(over.size());
  const auto close = [&](std::vector<int32_t>& ops) {
    if (ops.size() > 1) priced.push_back(Price(step, ops));
    ops.clear();
  };
  for (int32_t i : TopologicalOrder(origin.forward.edges, origin.forward.out_begin)) {
    const int32_t d = device[i];
    if (!over[d] || !eligible[i]) continue;
    open[d].push_back(i);
    if (static_cast<int32_t>(open[d].size()) == size) close(open[d]);
  }
  for (auto& ops : open) close(ops);
  std::erase_if(priced, [](const Priced& segment) { return segment.us_per_byte < 0; });
  std::stable_sort(priced.begin(), priced.end(),
                   [](const Priced& a, const Priced& b) { return a.us_per_byte < b.us_per_byte; });
  Contraction contraction(origin.forward);
  RecomputeSegments segments;
  for (Priced& segment : priced) {
    if (contraction.Add(segment.ops)) segments.push_back(std::move(segment.ops));
  }
  return segments;
}

void FitByRecomputing(const Problem& step, const std::vector<int32_t>& device,
                      const std::vector<uint8_t>& over,
                      const std::function<bool(const RecomputeSegments&)>& fits) {
  for (int32_t size = 2; size < 2 * step.graph.step->forward.size(); size *= 2) {
    const RecomputeSegments all = PricedSegments(step, device, over, size);
    if (all.empty() || !fits(all)) continue;
    // Not all do not fit less; the fewest of the cheapest that do are near this bisection's end.
    size_t low = 0, high = all.size();
    while (high - low > 1) {
      const size_t middle = (low + high) / 2;
      (fits(RecomputeSegments(all.begin(), all.begin() + static_cast<int64_t>(middle))) ? high
                                                                                        : low) =
          middle;
    }
  }
}

}  // namespace orchard::place
