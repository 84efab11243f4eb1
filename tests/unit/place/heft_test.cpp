// HEFT on the example of its paper (Topcuoglu, Hariri and Wu, 2002): ten tasks, three unlike
// processors, makespan 80.
#include "place/heft.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "place/groups.h"
#include "place/levels.h"
#include "place/simulate.h"
#include "unit/place/check_schedule.h"
#include "unit/place/golden_graphs.h"
#include "unit/place/random_graph.h"

namespace orchard::place {
namespace {

Graph Textbook() {
  constexpr double kTimes[10][3] = {{14, 16, 9},  {13, 19, 18}, {11, 13, 19}, {13, 8, 17},
                                    {12, 13, 10}, {13, 16, 9},  {7, 15, 11},  {5, 11, 14},
                                    {18, 12, 20}, {21, 7, 16}};
  constexpr int kEdges[15][3] = {{1, 2, 18}, {1, 3, 12}, {1, 4, 9},   {1, 5, 11},  {1, 6, 14},
                                 {2, 8, 19}, {2, 9, 16}, {3, 7, 23},  {4, 8, 27},  {4, 9, 23},
                                 {5, 9, 13}, {6, 8, 15}, {7, 10, 17}, {8, 10, 11}, {9, 10, 13}};
  GraphBuilder builder("textbook");
  for (int i = 0; i < 10; ++i) {
    builder.AddOp(
        {.name = fmt::format("n{}", i + 1), .us_on = {kTimes[i][0], kTimes[i][1], kTimes[i][2]}},
        "");
  }
  for (const auto& [src, dst, us] : kEdges)
    builder.AddUse(src - 1, dst - 1, fmt::format("t{}-{}", src, dst), 1, us, "");
  return builder.Build();
}

std::vector<int32_t> OrderOf(const Schedule& plan) {
  std::vector<int32_t> order;
  for (const auto& list : plan.order) order.insert(order.end(), list.begin(), list.end());
  return order;
}

TEST(Heft, TextbookExampleTakes80) {
  const Graph graph = Textbook();
  const Cluster three(3, INT64_MAX, {}, Comm::kParallel);
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  const auto rank = PathLevels(tasks, three, tasks.MeanWork(three)).bottom;
  EXPECT_NEAR(ToMicroseconds(rank[0]), 108, 0.01);
  EXPECT_NEAR(ToMicroseconds(rank[3]), 80, 0.01);
  EXPECT_NEAR(ToMicroseconds(rank[9]), 14.667, 0.01);
  const Schedule plan = Heft(tasks, three, {.communication = 1});
  EXPECT_EQ(plan.makespan, FromMicroseconds(80));
  Simulator simulator(tasks, three);
  EXPECT_EQ(simulator.Run(plan.device, Dispatch::kOrder, OrderOf(plan)), FromMicroseconds(80));
  EXPECT_EQ(Violation(tasks, three, simulator.Result()), "");
}

TEST(Heft, FillsAGapThatAnEarlierChoiceLeft) {
  // a and b run first, one on each device; c waits for both, d for none, and its rank is the least.
  const Graph graph =
      golden::Make({{"a", 10}, {"b", 4}, {"c", 10}, {"d", 3}}, {{"a", "c", 50}, {"b", "c", 2}});
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  const Schedule plan = Heft(tasks, Cluster(2, INT64_MAX, {}, Comm::kParallel));
  EXPECT_EQ(plan.device, (std::vector<int32_t>{0, 1, 0, 1}));
  EXPECT_EQ(plan.start[3], FromMicroseconds(4));
  EXPECT_EQ(plan.makespan, FromMicroseconds(20));
}

TEST(Heft, StopsWhereNothingFits) {
  const Graph graph = golden::Make({{"a", 4, 4, 60}, {"b", 4, 4, 60}}, {{"a", "b", 1}},
                                   PersistentMemory::kSeparate);
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  EXPECT_TRUE(Heft(tasks, Cluster(2, 70, {}, Comm::kParallel)).complete());
  EXPECT_FALSE(Heft(tasks, Cluster(1, 70, {}, Comm::kParallel)).complete());
}

// a and b go to one device each, since that is faster; c then fits only if one of them moves.
TEST(Heft, MovesAGroupToMakeRoom) {
  const Graph graph = golden::Make({{"a", 9, 0, 50}, {"b", 8, 0, 50}, {"c", 4, 0, 90}},
                                   {{"a", "c", 1}, {"b", "c", 1}}, PersistentMemory::kSeparate);
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  const Schedule plan = Heft(tasks, Cluster(2, 100, {}, Comm::kParallel));
  ASSERT_TRUE(plan.complete());
  EXPECT_EQ(plan.device[0], plan.device[1]);
  EXPECT_NE(plan.device[0], plan.device[2]);
  EXPECT_EQ(plan.makespan, FromMicroseconds(9 + 8 + 1 + 4));
  // A pinned group stays.
  EXPECT_FALSE(
      Heft(tasks, Cluster(2, 100, {}, Comm::kParallel), {.group_device = {0, 1, -1}}).complete());
}

RC_GTEST_PROP(Heft, KeepsToTheMemoryOfGroups, ()) {
  const Graph graph = RandomGraph();
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kTf));
  int64_t all = 0;
  for (int64_t perm : tasks.perm) all += perm;
  const Cluster cluster(3, all * *rc::gen::inRange(3, 11) / 10 + 30, {0.1, 1}, Comm::kParallel);
  const Schedule plan = Heft(tasks, cluster);
  if (!plan.complete()) return;
  std::vector<int64_t> held(cluster.size(), 0);
  for (int32_t i = 0; i < tasks.size(); ++i) {
    held[plan.device[i]] += tasks.perm[i];
    for (int32_t k = 0; k < i; ++k) {
      if (tasks.group[i] == tasks.group[k]) RC_ASSERT(plan.device[i] == plan.device[k]);
    }
  }
  for (int64_t bytes : held) RC_ASSERT(bytes <= cluster.devices[0].memory);
}

}  // namespace
}  // namespace orchard::place
