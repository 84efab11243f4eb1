// The favourite-child programme as a game of paths: against HiGHS, closed forms and differences.
#include "place/sct_paths.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <numeric>

#include "place/generate.h"
#include "place/groups.h"
#include "place/path_game.h"
#include "unit/place/random_graph.h"

namespace orchard::place {
namespace {

TaskGraph Alone(const Graph& graph) {
  return MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
}

// The bound is none better than the optimum, x none worse than promised, and x is feasible.
template <class Expect>
void CheckAgainstHighs(const TaskGraph& tasks, const Cluster& cluster, double gap,
                       const Expect& expect) {
  const SctLp exact = SolveSctLp(tasks, cluster, 60);
  const SctLp found = SolveSctPaths(tasks, cluster, {.gap = gap}).lp;
  expect(exact.optimal && found.optimal);
  expect(found.makespan_us >= exact.makespan_us * (1 - 1e-6));
  expect(found.bound_us <= exact.makespan_us * (1 + 1e-6));
  expect(found.makespan_us <= found.bound_us * (1 + gap) + 1e-9);
  std::vector<double> out(tasks.size(), 0), in(tasks.size(), 0);
  for (size_t e = 0; e < tasks.edges.size(); ++e) {
    expect(found.x[e] >= 0 && found.x[e] <= 1);
    out[tasks.edges[e].src] += 1 - found.x[e];
    in[tasks.edges[e].dst] += 1 - found.x[e];
  }
  for (int32_t i = 0; i < tasks.size(); ++i) expect(out[i] <= 1 + 1e-12 && in[i] <= 1 + 1e-12);
}

TEST(SctPaths, EnclosesTheObjectiveOfHighsOnLayeredGraphs) {
  const Cluster cluster(4, INT64_MAX, {}, Comm::kParallel);
  const auto expect = [](bool holds) { EXPECT_TRUE(holds); };
  for (uint64_t seed = 0; seed < 3; ++seed) {
    CheckAgainstHighs(
        Alone(Generate({.ops = 200 + 100 * static_cast<int64_t>(seed), .width = 12}, seed)),
        cluster, 0.01, expect);
  }
  CheckAgainstHighs(Alone(Generate({.shape = Shape::kForkJoin, .ops = 300, .width = 9}, 4)),
                    cluster, 0.01, expect);
}

RC_GTEST_PROP(SctPaths, EnclosesTheObjectiveOfHighs, ()) {
  const Graph graph = RandomGraph({.groups = false});
  const Cluster cluster(2, INT64_MAX, {.us_per_byte = 0.3, .latency_us = 1}, Comm::kParallel);
  CheckAgainstHighs(Alone(graph), cluster, 0.03, [](bool holds) { RC_ASSERT(holds); });
}

struct PricedEdge {
  int32_t src, dst;
  double us;
};

TaskGraph TasksOf(std::vector<Time> work, const std::vector<PricedEdge>& edges) {
  TaskGraph tasks;
  tasks.work = std::move(work);
  tasks.group.resize(tasks.work.size());
  std::iota(tasks.group.begin(), tasks.group.end(), 0);
  for (const auto& [src, dst, us] : edges) {
    tasks.edge_tensors.push_back(static_cast<int32_t>(tasks.tensors.size()));
    tasks.tensors.push_back({src, 10, us});
    tasks.edges.push_back({src, dst});
  }
  tasks.tensor_begin.resize(edges.size() + 1);
  std::iota(tasks.tensor_begin.begin(), tasks.tensor_begin.end(), 0);
  Index(tasks);
  return tasks;
}

// s -> a, b -> t: one of the two ways can save its first transfer, and one its second, so half of
// each is best: 1 + 2 (1 - 1/2) c + 1 + 1.
TEST(SctPaths, SharesFavouritesWhereTwoPathsNeedThem) {
  const TaskGraph tasks =
      TasksOf({1000, 1000, 1000, 1000}, {{0, 1, 8}, {0, 2, 8}, {1, 3, 8}, {2, 3, 8}});
  const SctLp found =
      SolveSctPaths(tasks, Cluster(2, INT64_MAX, {}, Comm::kParallel), {.gap = 1e-3}).lp;
  EXPECT_TRUE(found.optimal);
  EXPECT_NEAR(found.makespan_us, 11, 0.011);
  EXPECT_NEAR(found.bound_us, 11, 0.011);
}

// Four of the five paths are longest ones at the optimum, so that the smoothing costs nearly all
// that it can: the bound stays below what the gap allows until the smoothing gets sharper.
TEST(SctPaths, SharpensWhereNearlyAllPathsAreLongest) {
  const TaskGraph tasks = TasksOf({3000, 4000, 6000, 3000, 3000, 2000}, {{0, 2, 1.6},
                                                                         {0, 3, 1.6},
                                                                         {0, 4, 1.6},
                                                                         {1, 2, 5.8},
                                                                         {1, 4, 5.8},
                                                                         {2, 5, 8.6},
                                                                         {3, 4, 5.5},
                                                                         {3, 5, 5.5}});
  const SctPaths found = SolveSctPaths(tasks, Cluster(2, INT64_MAX, {}, Comm::kParallel),
                                       {.gap = 0.03, .max_iterations = 100'000});
  EXPECT_TRUE(found.lp.optimal);
  EXPECT_NEAR(found.lp.makespan_us, 13.149, 0.03 * 13.149);
}

TEST(SctPaths, TakesAChainOfAnyLengthWithoutAnIteration) {
  const Cluster cluster(2, INT64_MAX, {}, Comm::kParallel);
  const TaskGraph chain = Alone(Generate({.shape = Shape::kChain, .ops = 100'000}, 1));
  const SctPaths found = SolveSctPaths(chain, cluster, {});
  EXPECT_TRUE(found.lp.optimal);
  EXPECT_EQ(found.iterations, 0);
  EXPECT_NEAR(found.lp.makespan_us, ToMicroseconds(chain.TotalWork()), 1e-3);
}

TEST(SctPaths, KeepsItsBestWhenStoppedAndIsNeverWorseThanTheMatching) {
  const Cluster cluster(4, INT64_MAX, {}, Comm::kParallel);
  const TaskGraph tasks = Alone(Generate({.ops = 300, .width = 12}, 7));
  const SctLp matching = SolveSctPaths(tasks, cluster, {.gap = 1e-9, .max_iterations = 0}).lp;
  const SctLp some = SolveSctPaths(tasks, cluster, {.gap = 1e-9, .max_iterations = 200}).lp;
  EXPECT_FALSE(some.optimal);
  EXPECT_LT(some.makespan_us, matching.makespan_us);
  EXPECT_GT(some.bound_us, matching.bound_us);
  EXPECT_EQ(some.x, SolveSctPaths(tasks, cluster, {.gap = 1e-9, .max_iterations = 200}).lp.x);
}

TEST(PathGame, FlowIsTheGradientOfTheSmoothedLongestPath) {
  const Cluster cluster(4, INT64_MAX, {}, Comm::kParallel);
  const TaskGraph tasks = Alone(Generate({.ops = 60, .width = 5}, 3));
  PathGame game(tasks, cluster);
  std::vector<double> y = game.EqualParts(), flow, ignored;
  constexpr double kMu = 40, kStep = 1e-5;
  game.Smoothed(y, kMu, flow);
  for (int32_t e = 0; e < game.edges(); ++e) {
    const Time cost = tasks.Cost(cluster, tasks.TensorsOf(game.EdgeOf(e))[0], 0, 1);
    const double before = y[e];
    y[e] = before + kStep;
    const double above = game.Smoothed(y, kMu, ignored);
    y[e] = before - kStep;
    const double below = game.Smoothed(y, kMu, ignored);
    y[e] = before;
    EXPECT_NEAR((below - above) / (2 * kStep), flow[e] * ToMicroseconds(cost), 1e-4);
  }
}

// A grid of layers of two tasks, each joined with both of the next: 2^layers paths.
TEST(PathGame, CountsPaths) {
  TaskGraph tasks;
  constexpr int kLayers = 200;
  for (int i = 0; i < 2 * kLayers; ++i) tasks.work.push_back(1000), tasks.group.push_back(i);
  tasks.tensor_begin = {0};
  for (int i = 0; i < 2 * (kLayers - 1); ++i) {
    const int32_t next = 2 * (i / 2 + 1);
    tasks.tensors.push_back({i, 10, 8.0});
    for (int32_t j : {next, next + 1}) {
      tasks.edges.push_back({i, j});
      tasks.edge_tensors.push_back(i);
      tasks.tensor_begin.push_back(static_cast<int32_t>(tasks.edge_tensors.size()));
    }
  }
  Index(tasks);
  const PathGame game(tasks, Cluster(2, INT64_MAX, {}, Comm::kParallel));
  EXPECT_NEAR(game.LogPaths(), kLayers * std::log(2), 1e-9);
}

}  // namespace
}  // namespace orchard::place
