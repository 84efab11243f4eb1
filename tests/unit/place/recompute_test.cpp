// Recomputation against all ways to divide small graphs into segments.
#include "place/recompute.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

#include "base/error.h"
#include "place/place_training.h"

namespace orchard::place {
namespace {

// What running with some segments is worth on one device.
Evaluated RunWith(const Graph& forward, const RecomputeSegments& segments, int64_t memory) {
  const Graph step = BuildTrainingStep(forward, {.launch_us = 0, .recompute = segments});
  const Problem problem(step, Cluster(1, memory, {}, Comm::kParallel),
                        {.mode = Mode::kTrain, .rounding = 1}, GroupOperators(step, Grouping::kTf));
  return Evaluate(problem, std::vector<int32_t>(step.size(), 0));
}

// Calls `visit` with every way to put some of `n` operators into segments.
void ForAllSegments(int n, const std::function<void(const RecomputeSegments&)>& visit) {
  RecomputeSegments segments;
  const std::function<void(int)> choose = [&](int i) {
    if (i == n) return visit(segments);
    choose(i + 1);  // kept
    for (size_t s = 0; s < segments.size(); ++s) {
      segments[s].push_back(i);
      choose(i + 1);
      segments[s].pop_back();
    }
    segments.push_back({i});
    choose(i + 1);
    segments.pop_back();
  };
  choose(0);
}

TEST(Recomputation, VisitsAllSegments) {
  int count = 0;
  ForAllSegments(3, [&](const RecomputeSegments&) { ++count; });
  EXPECT_EQ(count, 15);  // partitions of four: the operators and what stands for "kept"
}

// The fastest that fits `memory`.
Time BestOfAll(const Graph& forward, int64_t memory) {
  Time best = kNever;
  ForAllSegments(forward.size(), [&](const RecomputeSegments& segments) {
    try {
      const Evaluated result = RunWith(forward, segments, memory);
      if (result.feasible()) best = std::min(best, result.schedule.makespan);
    } catch (const DataError&) {
      // They depend on each other both ways.
    }
  });
  return best;
}

Time BestOfHeuristic(const Graph& forward, int64_t memory) {
  const Graph plain = BuildTrainingStep(forward, {.launch_us = 0});
  const Problem step(plain, Cluster(1, memory, {}, Comm::kParallel),
                     {.mode = Mode::kTrain, .rounding = 1}, GroupOperators(plain, Grouping::kTf));
  const Evaluated without = RunWith(forward, {}, memory);
  if (without.feasible()) return without.schedule.makespan;
  Time best = kNever;
  FitByRecomputing(step, std::vector<int32_t>(forward.size(), 0), {1},
                   [&](const RecomputeSegments& segments) {
                     const Evaluated result = RunWith(forward, segments, memory);
                     // Only what was computed before is computed again.
                     EXPECT_GE(result.schedule.makespan, without.schedule.makespan);
                     if (!result.feasible()) return false;
                     EXPECT_LE(result.memory.peak[0], memory);
                     best = std::min(best, result.schedule.makespan);
                     return true;
                   });
  return best;
}

// Operators that save what they make for the backward pass; an edge between any two with
// probability 0.4, besides a chain.
Graph SmallGraph(std::mt19937& random, int n) {
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  GraphBuilder builder("small");
  for (int i = 0; i < n; ++i) {
    builder.AddOp({.name = fmt::format("op{}", i),
                   .us = static_cast<double>(pick(1, 40)),
                   .perm = pick(0, 2),
                   .temp = pick(0, 10),
                   .out = {pick(10, 60)},
                   .saved = {static_cast<uint8_t>(pick(0, 3) > 0)}},
                  "");
  }
  for (int j = 1; j < n; ++j) {
    for (int i = 0; i < j; ++i) {
      if (i + 1 == j || pick(0, 9) < 4) {
        builder.AddUse(i, j, fmt::format("op{}:0", i),
                       static_cast<double>(builder.graph.ops[i].out[0]), -1, "");
      }
    }
  }
  return builder.Build();
}

// How often and by how much segments of neighbours miss the best is in the documentation.
TEST(Recomputation, IsNeverBetterThanAllSegmentsAndOftenAsGood) {
  int compared = 0, best_found = 0, missed = 0;
  double sum = 0, worst = 1;
  std::mt19937 random(7);
  for (int k = 0; k < 300; ++k) {
    const Graph graph = SmallGraph(random, 4 + k % 3);
    const int64_t need = RunWith(graph, {}, INT64_MAX).memory.peak[0];
    const int64_t memory = need * (75 + k % 25) / 100;
    if (RunWith(graph, {}, memory).feasible()) continue;
    const Time best = BestOfAll(graph, memory), found = BestOfHeuristic(graph, memory);
    EXPECT_GE(found, best) << k;
    if (best == kNever) continue;
    if (found == kNever) {
      ++missed;
      continue;
    }
    const double ratio = static_cast<double>(found) / static_cast<double>(best);
    ++compared;
    best_found += found == best;
    sum += ratio;
    worst = std::max(worst, ratio);
  }
  fmt::print("{} compared: best found in {}, mean ratio {:.4f}, worst {:.3f}; {} missed\n",
             compared, best_found, sum / compared, worst, missed);
  EXPECT_GT(compared, 20);
}

}  // namespace
}  // namespace orchard::place
