#include "place/sct_pdlp.h"

#include <algorithm>

#include "base/clock.h"
#include "place/levels.h"

namespace orchard::place {
namespace {

constexpr double kTieWeight = 1e-7;  // of saved communication against the makespan, as with HiGHS
constexpr double kMakespan = 1000;   // times are scaled so that the matching's makespan is this
constexpr int kRounds = 3;  // each with a tenth of the tolerance, while the gap is too large

class SctContraction {
 public:
  SctContraction(const TaskGraph& tasks, const Cluster& cluster) : tasks_(tasks) {
    const auto edges = static_cast<int32_t>(tasks.edges.size());
    order_ = TopologicalTasks(tasks);
    block_.assign(tasks.size(), -1);
    column_.assign(edges, -1);
    cost_.resize(edges);
    for (int32_t e = 0; e < edges; ++e)
      cost_[e] = static_cast<double>(SummedEdgeCost(tasks, cluster, e));
    for (int32_t i : order_) {
      if (block_[i] < 0) {
        block_[i] = static_cast<int32_t>(work_.size());
        work_.push_back(0);
        order_of_blocks_.push_back(block_[i]);
      }
      work_[block_[i]] += static_cast<double>(tasks.work[i]);
      if (OutDegree(i) != 1) continue;
      const int32_t j = tasks.edges[tasks.out_begin[i]].dst;
      if (InDegree(j) == 1) block_[j] = block_[i];
    }
    for (int32_t e = 0; e < edges; ++e) {
      if (block_[tasks.edges[e].src] != block_[tasks.edges[e].dst]) {
        column_[e] = static_cast<int32_t>(kept_.size());
        kept_.push_back(e);
      }
    }
    out_.assign(work_.size(), {});
    for (int32_t e : kept_) out_[block_[tasks.edges[e].src]].push_back(e);
  }

  // Starts and makespan of all blocks when edge e takes cost * x.
  double LongestPath(const std::vector<double>& x, std::vector<double>& start,
                     std::vector<int32_t>* last_edge = nullptr) const {
    start.assign(work_.size(), 0);
    if (last_edge) last_edge->assign(work_.size(), -1);
    double makespan = 0;
    for (int32_t b : order_of_blocks_) {
      makespan = std::max(makespan, start[b] + work_[b]);
      for (int32_t e : out_[b]) {
        const int32_t to = block_[tasks_.edges[e].dst];
        const double ready = start[b] + work_[b] + cost_[e] * x[e];
        if (ready > start[to]) {
          start[to] = ready;
          if (last_edge) (*last_edge)[to] = e;
        }
      }
    }
    return makespan;
  }

  // Longest path from the start of each block to the end, compute alone.
  std::vector<double> Bottom() const {
    std::vector<double> bottom(work_.size(), 0);
    for (auto b = order_of_blocks_.rbegin(); b != order_of_blocks_.rend(); ++b) {
      for (int32_t e : out_[*b])
        bottom[*b] = std::max(bottom[*b], bottom[block_[tasks_.edges[e].dst]]);
      bottom[*b] += work_[*b];
    }
    return bottom;
  }

  LinearProgramme Programme(double makespan, double scale) const {
    LinearProgramme lp;
    std::vector<double> top;
    const std::vector<double> bottom = Bottom();
    const double longest = LongestPath(std::vector<double>(tasks_.edges.size(), 0), top);
    for (int32_t e : kept_) {
      lp.cost.push_back(kTieWeight * cost_[e] * scale);
      lp.lower.push_back(0);
      lp.upper.push_back(1);
    }
    for (size_t b = 0; b < work_.size(); ++b) {
      lp.cost.push_back(0);
      lp.lower.push_back(top[b] * scale);
      lp.upper.push_back((makespan - bottom[b]) * scale);
    }
    lp.cost.push_back(1);
    lp.lower.push_back(longest * scale);
    lp.upper.push_back(makespan * scale);
    for (int32_t e : kept_) {
      lp.rows.Add(column_[e], -cost_[e] * scale);
      lp.rows.Add(Start(block_[tasks_.edges[e].src]), -1);
      lp.rows.Add(Start(block_[tasks_.edges[e].dst]), 1);
      EndRow(lp, work_[block_[tasks_.edges[e].src]] * scale);
    }
    for (size_t b = 0; b < work_.size(); ++b) {
      if (!out_[b].empty()) continue;
      lp.rows.Add(Start(static_cast<int32_t>(b)), -1);
      lp.rows.Add(Makespan(), 1);
      EndRow(lp, work_[b] * scale);
    }
    for (int32_t i = 0; i < tasks_.size(); ++i) {
      if (OutDegree(i) > 1) {
        for (int32_t e = tasks_.out_begin[i]; e < tasks_.out_begin[i + 1]; ++e)
          lp.rows.Add(column_[e], 1);
        EndRow(lp, OutDegree(i) - 1);
      }
      if (InDegree(i) > 1) {
        for (int32_t e : tasks_.InEdges(i)) lp.rows.Add(column_[e], 1);
        EndRow(lp, InDegree(i) - 1);
      }
    }
    return lp;
  }

  // Columns of the programme for `x`, and multipliers that send one unit along the longest path.
  void Begin(const std::vector<double>& x, double scale, std::vector<double>& z,
             std::vector<double>& y) const {
    std::vector<double> start;
    std::vector<int32_t> last_edge;
    const double makespan = LongestPath(x, start, &last_edge);
    z.clear();
    for (int32_t e : kept_) z.push_back(x[e]);
    int32_t end = 0;
    int32_t sinks = 0, sink = 0;
    for (size_t b = 0; b < work_.size(); ++b) {
      z.push_back(start[b] * scale);
      if (!out_[b].empty()) continue;
      if (start[b] + work_[b] == makespan) {
        end = static_cast<int32_t>(b);
        sink = sinks;
      }
      ++sinks;
    }
    z.push_back(makespan * scale);
    y.assign(kept_.size() + sinks, 0);
    y[kept_.size() + sink] = 1;
    for (int32_t b = end; last_edge[b] >= 0; b = block_[tasks_.edges[last_edge[b]].src])
      y[column_[last_edge[b]]] = 1;
  }

  // x of all edges, within its constraints: at every task the saved parts 1 - x sum to 1 at most.
  std::vector<double> Feasible(const std::vector<double>& z) const {
    std::vector<double> x(tasks_.edges.size(), 0), out(tasks_.size(), 0), in(tasks_.size(), 0);
    for (int32_t e : kept_) {
      x[e] = std::clamp(z[column_[e]], 0.0, 1.0);
      out[tasks_.edges[e].src] += 1 - x[e];
      in[tasks_.edges[e].dst] += 1 - x[e];
    }
    for (int32_t e : kept_) {
      const double most = std::max({1.0, out[tasks_.edges[e].src], in[tasks_.edges[e].dst]});
      x[e] = 1 - (1 - x[e]) / most;
    }
    return x;
  }

  bool trivial() const { return kept_.empty(); }

 private:
  int32_t OutDegree(int32_t i) const { return tasks_.out_begin[i + 1] - tasks_.out_begin[i]; }
  int32_t InDegree(int32_t i) const { return tasks_.in_begin[i + 1] - tasks_.in_begin[i]; }
  int32_t Start(int32_t block) const { return static_cast<int32_t>(kept_.size()) + block; }
  int32_t Makespan() const { return Start(static_cast<int32_t>(work_.size())); }
  static void EndRow(LinearProgramme& lp, double rhs) {
    lp.rows.EndRow();
    lp.rhs.push_back(rhs);
  }

  const TaskGraph& tasks_;
  std::vector<int32_t> order_, order_of_blocks_;
  std::vector<int32_t> block_;             // of each task
  std::vector<double> work_;               // of each block, nanoseconds
  std::vector<double> cost_;               // of each edge, nanoseconds
  std::vector<int32_t> column_;            // of each edge, or -1: inside a block
  std::vector<int32_t> kept_;              // the edges with a column
  std::vector<std::vector<int32_t>> out_;  // kept edges out of each block
};

}  // namespace

SctPdlp SolveSctPdlp(const TaskGraph& tasks, const Cluster& cluster,
                     const SctPdlpOptions& options) {
  const double begin = SecondsNow();
  const SctContraction graph(tasks, cluster);
  SctPdlp result;
  std::vector<double> x(tasks.edges.size(), 0), start;
  if (!graph.trivial()) {
    const Favourites matched = MatchFavourites(tasks, cluster);
    for (size_t e = 0; e < x.size(); ++e)
      x[e] = matched.child[tasks.edges[e].src] == tasks.edges[e].dst ? 0 : 1;
    x = graph.Feasible([&] {
      std::vector<double> z, y;
      graph.Begin(x, 1, z, y);
      return z;
    }());
  }
  double makespan = graph.LongestPath(x, start);
  const auto accept = [&](double bound) {
    result.bound_us = result.lp.bound_us = bound / 1000;
    result.lp.makespan_us = makespan / 1000;
    result.lp.optimal = makespan <= (1 + options.gap) * bound;
    if (result.lp.optimal) result.lp.x = x;
    return result.lp.optimal;
  };
  if (graph.trivial() || makespan == 0) {
    accept(makespan);
    return result;
  }
  const double scale = kMakespan / makespan;
  const LinearProgramme lp = graph.Programme(makespan, scale);
  std::vector<double> z, y;
  graph.Begin(x, scale, z, y);
  PdlpOptions pdlp{.threads = options.threads, .gpu = options.gpu};
  for (int round = 0; round < kRounds; ++round, pdlp.tolerance /= 10) {
    pdlp.time_limit_seconds = options.time_limit_seconds - (SecondsNow() - begin);
    PdlpResult solved = SolvePdlp(lp, pdlp, z, y);
    x = graph.Feasible(solved.z);
    makespan = graph.LongestPath(x, start);
    z = std::move(solved.z);
    y = std::move(solved.y);
    const int64_t attempts = result.iteration.attempts + solved.attempts;
    const int64_t restarts = result.iteration.restarts + solved.restarts;
    result.iteration = std::move(solved);
    result.iteration.attempts = attempts;
    result.iteration.restarts = restarts;
    if (accept(result.iteration.dual_objective / scale) || !result.iteration.solved) break;
  }
  return result;
}

}  // namespace orchard::place
