#include "place/granularity.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "place/levels.h"
#include "place/union_find.h"

namespace orchard::place {
namespace {

constexpr double kPartsOfWork[] = {1.0 / 256, 1.0 / 64, 1.0 / 16};  // bounds of clusters
constexpr int kAttachSweeps = 8;

// Edges between groups with the cost of all that they carry, dearest first.
struct GroupEdge {
  int32_t src, dst;
  Time cost;
};

std::vector<GroupEdge> GroupEdges(const Problem& problem) {
  std::vector<GroupEdge> edges;
  const TaskGraph& ops = problem.ops;
  for (int32_t e = 0; e < static_cast<int32_t>(ops.edges.size()); ++e) {
    const int32_t a = ops.group[ops.edges[e].src], b = ops.group[ops.edges[e].dst];
    if (a != b) edges.push_back({a, b, SummedEdgeCost(ops, problem.cluster, e)});
  }
  std::sort(edges.begin(), edges.end(), [](const GroupEdge& a, const GroupEdge& b) {
    return std::pair(a.src, a.dst) < std::pair(b.src, b.dst);
  });
  size_t kept = 0;
  for (size_t k = 0; k < edges.size(); ++k) {
    if (kept > 0 && edges[kept - 1].src == edges[k].src && edges[kept - 1].dst == edges[k].dst) {
      edges[kept - 1].cost += edges[k].cost;
    } else {
      edges[kept++] = edges[k];
    }
  }
  edges.resize(kept);
  std::stable_sort(edges.begin(), edges.end(),
                   [](const GroupEdge& a, const GroupEdge& b) { return a.cost > b.cost; });
  return edges;
}

class Clusters {
 public:
  explicit Clusters(const Problem& problem)
      : problem_(problem),
        edges_(GroupEdges(problem)),
        set_(problem.ops.groups),
        work_(problem.ops.groups, 0) {
    const std::vector<Time> mean = problem.ops.MeanWork(problem.cluster);
    for (int32_t i = 0; i < problem.ops.size(); ++i) work_[problem.ops.group[i]] += mean[i];
    total_ = std::accumulate(work_.begin(), work_.end(), Time{0});
  }

  // A unit that talks to one other one alone, and does less than sending takes, joins it. Of a
  // chain each sweep takes in the two ends.
  void Attach() {
    bool changed = true;
    for (int sweep = 0; changed && sweep < kAttachSweeps; ++sweep) {
      changed = false;
      std::vector<int32_t> partner(work_.size(), -1);  // -2: several
      std::vector<Time> cost(work_.size(), 0);
      for (const GroupEdge& edge : edges_) {
        const int32_t a = set_.Find(edge.src), b = set_.Find(edge.dst);
        if (a == b) continue;
        Note(partner[a], b);
        Note(partner[b], a);
        cost[a] += edge.cost;
        cost[b] += edge.cost;
      }
      for (int32_t g = 0; g < static_cast<int32_t>(work_.size()); ++g) {
        if (partner[g] < 0 || set_.Find(g) != g || work_[g] > cost[g]) continue;
        if (Unite(g, partner[g])) changed = true;
      }
    }
  }

  // The dearest edges first, as long as units keep below a part of all work.
  void Merge(double part) {
    const auto most = static_cast<Time>(part * static_cast<double>(total_));
    for (const GroupEdge& edge : edges_) {
      const int32_t a = set_.Find(edge.src), b = set_.Find(edge.dst);
      if (a != b && work_[a] + work_[b] <= most) Unite(a, b);
    }
  }

  std::vector<int32_t> UnitOfOp() {
    std::vector<int32_t> number(work_.size(), -1), unit;
    int32_t count = 0;
    for (int32_t group : problem_.ops.group) {
      int32_t& n = number[set_.Find(group)];
      if (n < 0) n = count++;
      unit.push_back(n);
    }
    return unit;
  }

 private:
  static void Note(int32_t& partner, int32_t other) {
    partner = partner == -1 || partner == other ? other : -2;
  }
  bool Unite(int32_t a, int32_t b) {
    a = set_.Find(a);
    b = set_.Find(b);
    if (problem_.group_pin[a] >= 0 || problem_.group_pin[b] >= 0 || !set_.Unite(a, b)) return false;
    const int32_t root = set_.Find(a);
    work_[root] = work_[a] + work_[b];
    return true;
  }

  const Problem& problem_;
  std::vector<GroupEdge> edges_;
  UnionFind set_;
  std::vector<Time> work_;  // of each set, at its representative
  Time total_ = 0;
};

}  // namespace

Granularity::Granularity(const Problem& problem) {
  levels.emplace_back(problem, problem.ops.group);
  Clusters clusters(problem);
  clusters.Attach();
  levels.emplace_back(problem, clusters.UnitOfOp());
  for (double part : kPartsOfWork) {
    clusters.Merge(part);
    levels.emplace_back(problem, clusters.UnitOfOp());
  }
  levels.emplace_back(problem, problem.coarse);
  std::reverse(levels.begin(), levels.end());
}

}  // namespace orchard::place
