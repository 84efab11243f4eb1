#include "place/sct_paths.h"

#include <algorithm>

#include "base/clock.h"
#include "base/signals.h"
#include "place/levels.h"
#include "place/path_game.h"

namespace orchard::place {
namespace {

constexpr int64_t kWindow = 25;  // iterations between changes of the step
constexpr int64_t kBetweenChecks = 2 * kWindow;
// The step grows while the smoothed longest path falls, and shrinks when it rises.
constexpr double kGrow = 1.15, kShrink = 0.6, kRise = 1e-5;
constexpr double kFirstStep = 0.03;  // over mu
// A step that is too long for right prices, or a smoothing that alone costs the gap, shows when the
// gap has fallen by less than 2 % in four checks, and in half of all: both become half, the step
// never longer again, and averages begin anew. (A step that shrinks faster than the iterations
// until the next cut grow would leave prices less and less time to become right.)
constexpr double kCut = 0.5, kProgress = 0.98;
constexpr int64_t kPatience = 4;

class PathSolver {
 public:
  PathSolver(const TaskGraph& tasks, const Cluster& cluster, const SctPathsOptions& options)
      : options_(options), game_(tasks, cluster), log_paths_(game_.LogPaths()) {
    const Favourites matched = MatchFavourites(tasks, cluster);
    std::vector<double> y(game_.edges());
    for (int32_t e = 0; e < game_.edges(); ++e) {
      const Edge& edge = tasks.edges[game_.EdgeOf(e)];
      y[e] = matched.child[edge.src] == edge.dst ? 1 : 0;
    }
    makespan_ = game_.LongestPath(y);
    best_ = std::move(y);
    // No favourites can save more than all communication.
    bound_ = game_.LongestPath(std::vector<double>(game_.edges(), 1));
  }

  SctPaths Run() {
    if (!Done()) Iterate();
    SctPaths result;
    result.lp.x.resize(game_.edges());
    for (int32_t e = 0; e < game_.edges(); ++e) result.lp.x[game_.EdgeOf(e)] = 1 - best_[e];
    result.lp.makespan_us = makespan_;
    result.lp.optimal = Done();
    result.lp.bound_us = bound_;
    result.iterations = iterations_;
    return result;
  }

 private:
  bool Done() const { return makespan_ <= (1 + options_.gap) * bound_; }
  double Gap() const { return (makespan_ - bound_) / std::max(bound_, 1e-300); }

  void Iterate() {
    const double begin = SecondsNow();
    std::vector<double> y = game_.EqualParts(), flow, y_mean(y.size(), 0), flow_mean(y.size(), 0),
                        out(game_.nodes(), 0), in(game_.nodes(), 0);
    double weight = 0, window = 0, before = 0, gap = 1e300, most_step = 1e300;
    int64_t first = 0;   // iterations before the averages begin
    int64_t checks = 0;  // since the gap fell
    // Smoothing lets both sides end mu log(paths) apart, in practice a part of that: all of it
    // where every path is a longest one.
    double mu = options_.gap * makespan_ / std::max(1.0, log_paths_);
    double step = kFirstStep / mu;
    while (iterations_ < options_.max_iterations) {
      ++iterations_;
      const double value = game_.Smoothed(y, mu, flow);
      // Later points count more: the k-th with k^2.
      const auto k = static_cast<double>(iterations_ - first);
      const double of_this = k * k;
      weight += of_this;
      const double part = of_this / weight;
      for (double& price : out) price *= 1 - part;
      for (double& price : in) price *= 1 - part;
      game_.MirrorStep(flow, step, part, y, out, in);
      for (size_t e = 0; e < y.size(); ++e) {
        y_mean[e] += part * (y[e] - y_mean[e]);
        flow_mean[e] += part * (flow[e] - flow_mean[e]);
      }
      window += value;
      if (iterations_ % kWindow == 0) {
        if (before > 0) step *= window > before * (1 + kRise) ? kShrink : kGrow;
        step = std::min(step, most_step);
        before = window;
        window = 0;
      }
      if (iterations_ % kBetweenChecks != 0) continue;
      Try(y);
      Try(y_mean);
      bound_ = std::max(bound_, game_.Bound(flow_mean, out, in));
      if (Done() || StopRequested() || SecondsNow() - begin > options_.time_limit_seconds) return;
      if (Gap() < kProgress * gap) {
        gap = Gap();
        checks = 0;
      } else if (++checks >= std::max(kPatience, iterations_ / kBetweenChecks / 2)) {
        step = most_step = kCut * step;
        mu *= kCut;
        first = iterations_;
        weight = 0;
        checks = 0;
      }
    }
  }

  void Try(std::vector<double> y) {
    game_.Shrink(y);
    const double makespan = game_.LongestPath(y);
    if (makespan >= makespan_) return;
    makespan_ = makespan;
    best_ = std::move(y);
  }

  const SctPathsOptions& options_;
  PathGame game_;
  double log_paths_;
  std::vector<double> best_;
  double makespan_ = 0, bound_ = 0;
  int64_t iterations_ = 0;
};

}  // namespace

SctPaths SolveSctPaths(const TaskGraph& tasks, const Cluster& cluster,
                       const SctPathsOptions& options) {
  return PathSolver(tasks, cluster, options).Run();
}

}  // namespace orchard::place
