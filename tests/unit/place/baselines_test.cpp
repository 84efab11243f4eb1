// Contiguous splits against brute force, and the baselines of others.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "place/contiguous.h"
#include "place/device_map_rule.h"
#include "place/min_cut.h"
#include "place/place.h"
#include "unit/place/golden_graphs.h"
#include "unit/place/random_graph.h"

namespace orchard::place {
namespace {

GroupFacts Facts(const TaskGraph& tasks) {
  GroupFacts facts{std::vector<int64_t>(tasks.groups, 0), std::vector<int32_t>(tasks.groups, -1)};
  for (int32_t i = 0; i < tasks.size(); ++i) facts.resident[tasks.group[i]] += tasks.perm[i];
  return facts;
}

// A chain w = 4, 1, 1, 6 with costs 9, 2, 7 between.
TaskGraph Chain() {
  const Graph graph =
      golden::Make({{"a", 4, 1, 10}, {"b", 1, 1, 10}, {"c", 1, 1, 10}, {"d", 6, 1, 10}},
                   {{"a", "b", 9}, {"b", "c", 2}, {"c", "d", 7}}, PersistentMemory::kSeparate);
  return MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
}

TEST(Contiguous, CutsWhereLeastCrosses) {
  const TaskGraph tasks = Chain();
  const Cluster two(2, 21, {}, Comm::kParallel);  // two operators and what runs
  const Schedule plan = SplitContiguously(tasks, two, Facts(tasks), ContiguousGoal::kLeastTraffic);
  EXPECT_EQ(plan.device, (std::vector<int32_t>{0, 0, 1, 1}));
  const Cluster roomy(2, 1000, {}, Comm::kParallel);
  EXPECT_EQ(SplitContiguously(tasks, roomy, Facts(tasks), ContiguousGoal::kLeastTraffic).device,
            (std::vector<int32_t>{0, 0, 0, 0}));
  const Cluster tight(2, 15, {}, Comm::kParallel);
  EXPECT_FALSE(
      SplitContiguously(tasks, tight, Facts(tasks), ContiguousGoal::kLeastTraffic).complete());
}

// Loads of the split after b: 5 + 2 and 7 + 2; of one device: 12; of the others 13 and more.
TEST(Contiguous, BalancesLoadsOfAPipeline) {
  const TaskGraph tasks = Chain();
  const Cluster two(2, 1000, {}, Comm::kParallel);
  EXPECT_EQ(SplitContiguously(tasks, two, Facts(tasks), ContiguousGoal::kLeastLoad).device,
            (std::vector<int32_t>{0, 0, 1, 1}));
}

// On a chain the order is given, so all splits can be tried.
RC_GTEST_PROP(Contiguous, IsTheBestSplitOfAChain, ()) {
  const auto pick = [](int low, int high) { return *rc::gen::inRange(low, high + 1); };
  const int n = pick(1, 9), devices = pick(1, 3);
  std::vector<int64_t> work, cost, perm;
  GraphBuilder builder("chain");
  for (int i = 0; i < n; ++i) {
    work.push_back(pick(0, 9));
    perm.push_back(pick(0, 9));
    cost.push_back(pick(0, 9));
    builder.AddOp({.name = fmt::format("o{}", i),
                   .us = static_cast<double>(work[i]),
                   .perm = perm[i],
                   .out = {0}},
                  "");
    if (i > 0) {
      builder.AddUse(i - 1, i, fmt::format("o{}:0", i - 1), 0, static_cast<double>(cost[i - 1]),
                     "");
    }
  }
  const Graph graph = builder.Build();
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  const int64_t memory = pick(9, 40);
  const Cluster cluster(devices, memory, {}, Comm::kParallel);
  // Bit i of `cuts`: a cut behind operator i.
  int64_t least_traffic = INT64_MAX, least_load = INT64_MAX;
  for (int cuts = 0; cuts < 1 << (n - 1); ++cuts) {
    int64_t traffic = 0, largest = 0, load = 0, held = 0;
    int stretches = 1;
    bool fits = true;
    for (int i = 0; i < n; ++i) {
      load += work[i];
      held += perm[i];
      fits = fits && held <= memory;
      if (i + 1 < n && cuts >> i & 1) {
        traffic += cost[i];
        largest = std::max(largest, load + cost[i]);
        load = cost[i];
        held = 0;
        ++stretches;
      }
    }
    if (!fits || stretches > devices) continue;
    least_traffic = std::min(least_traffic, traffic);
    least_load = std::min(least_load, std::max(largest, load));
  }
  const auto value = [&](ContiguousGoal goal) {
    const Schedule plan = SplitContiguously(tasks, cluster, Facts(tasks), goal);
    if (!plan.complete()) return INT64_MAX;
    int64_t traffic = 0, largest = 0, load = 0;
    for (int i = 0; i < n; ++i) {
      load += work[i];
      if (i + 1 < n && plan.device[i] != plan.device[i + 1]) {
        RC_ASSERT(plan.device[i] + 1 == plan.device[i + 1]);
        traffic += cost[i];
        largest = std::max(largest, load + cost[i]);
        load = cost[i];
      }
    }
    return goal == ContiguousGoal::kLeastTraffic ? traffic : std::max(largest, load);
  };
  RC_ASSERT(value(ContiguousGoal::kLeastTraffic) == least_traffic);
  RC_ASSERT(value(ContiguousGoal::kLeastLoad) == least_load);
}

// What accelerate 1.6 gives (tests/oracle/device_map_test.py). Total 100, n 2, largest 40: the
// first device may take 50 + 50, less the largest module that is still to come.
TEST(BalancedDeviceMap, FillsOneDeviceAfterTheOther) {
  const Cluster two(2, INT64_MAX, {}, Comm::kParallel);
  EXPECT_EQ(BalancedDeviceMap({20, 0, 40, 1, 39}, two), (std::vector<int32_t>{0, 0, 0, 0, 0}));
  EXPECT_EQ(BalancedDeviceMap({20, 0, 39, 2, 39}, two), (std::vector<int32_t>{0, 0, 0, 1, 1}));
  const Cluster small(2, 65, {}, Comm::kParallel);  // 65 - 40 = 25
  EXPECT_EQ(BalancedDeviceMap({20, 0, 40, 1, 39}, small), (std::vector<int32_t>{0, 0, 1, 1, 1}));
}

TEST(MinCut, SeparatesTwoChains) {
  const Graph graph =
      golden::Make({{"a", 5}, {"b", 5}, {"c", 5}, {"x", 5}, {"y", 5}, {"z", 5}},
                   {{"a", "b", 50}, {"b", "c", 50}, {"x", "y", 50}, {"y", "z", 50}, {"c", "z", 1}});
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  const std::vector<int32_t> part = MinCut(tasks, Cluster(2, INT64_MAX, {}, Comm::kParallel));
  EXPECT_EQ(part[0], part[1]);
  EXPECT_EQ(part[1], part[2]);
  EXPECT_EQ(part[3], part[4]);
  EXPECT_EQ(part[4], part[5]);
  EXPECT_NE(part[0], part[3]);
}

RC_GTEST_PROP(MinCut, GivesDevicesToAnyGraph, ()) {
  const Graph graph = RandomGraph();
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kTf));
  const Cluster cluster(*rc::gen::inRange(1, 9), INT64_MAX, {}, Comm::kParallel);
  for (int32_t d : MinCut(tasks, cluster)) RC_ASSERT(d >= 0 && d < cluster.size());
}

TEST(RunAll, ShowsRandomAsAMean) {
  const Graph graph = golden::G5();
  const Problem problem(graph, Cluster(2, INT64_MAX, {}, Comm::kParallel), {},
                        GroupOperators(graph, Grouping::kNone));
  const std::vector<Member> members = RunAll(problem, {}, {.seed = 3});
  const auto random = std::find_if(members.begin(), members.end(), [](const Member& member) {
    return member.algorithm == Algorithm::kRandom;
  });
  ASSERT_NE(random, members.end());
  EXPECT_EQ(random->name, "random, mean of 20 seeds");
  PlaceOptions options;
  options.algo = Algorithm::kRandom;
  Time sum = 0;
  for (uint64_t seed = 3; seed < 23; ++seed)
    sum += Place(graph, problem.cluster, options, {.seed = seed}).best.result.schedule.makespan;
  EXPECT_EQ(random->result.schedule.makespan, sum / 20);
}

}  // namespace
}  // namespace orchard::place
