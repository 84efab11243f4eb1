// Exact answers: known optima, brute force over every placement and order, and the programme.
#include "place/optimal.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "place/bounds.h"
#include "place/exact_search.h"
#include "place/joined_bound.h"
#include "place/milp.h"
#include "place/pipeline_order.h"
#include "place/place_training.h"
#include "unit/place/check_schedule.h"
#include "unit/place/golden_graphs.h"
#include "unit/place/random_graph.h"

namespace orchard::place {
namespace {

Time Optimum(const Graph& graph, const Cluster& cluster) {
  OptimalOptions options;
  options.place.allocator_rounding = 1;
  const OptimalResult result = FindOptimal(graph, cluster, options);
  EXPECT_TRUE(result.proven) << result.explanation;
  EXPECT_EQ(result.place.bound.value(), result.place.best.result.schedule.makespan);
  return result.place.best.result.schedule.makespan / kMicrosecond;
}

TEST(Optimal, FindsTheKnownOptima) {
  for (Comm comm : {Comm::kParallel, Comm::kHalf}) {
    const Cluster two = golden::Devices(2, INT64_MAX, comm);
    EXPECT_EQ(Optimum(golden::G1(), two), 18);
    EXPECT_EQ(Optimum(golden::G2(), two), 15);
    EXPECT_EQ(Optimum(golden::G3(), two), 29);
    EXPECT_EQ(Optimum(golden::G5(), two), 33);
  }
}

// Whether no device runs an update of a training step before anything else.
bool UpdatesAreLast(const Problem& problem, const std::vector<int32_t>& device,
                    const std::vector<int32_t>& order) {
  const std::vector<uint8_t> update = Updates(problem.graph);
  std::vector<uint8_t> began(problem.cluster.size(), 0);
  for (int32_t i : order) {
    const bool last = !update.empty() && update[i];
    if (began[device[i]] && !last) return false;
    if (last) began[device[i]] = 1;
  }
  return true;
}

// Every device for every operator, every order: nothing is pruned and nothing is clever.
Time BruteForce(const Problem& problem) {
  const int32_t n = problem.ops.size(), devices = problem.cluster.size();
  Simulator simulator(problem.ops, problem.cluster);
  std::vector<int32_t> of_group(problem.ops.groups, 0), device(n), order(n);
  Time best = kNever;
  while (true) {
    for (int32_t i = 0; i < n; ++i) device[i] = of_group[problem.ops.group[i]];
    std::iota(order.begin(), order.end(), 0);
    do {
      if (!UpdatesAreLast(problem, device, order)) continue;
      const Time makespan = simulator.Run(device, Dispatch::kOrder, order);
      if (makespan >= best) continue;
      const MemoryUse memory =
          ReplayMemory(problem.sizes, problem.ops, simulator.Result(), devices);
      if (Excess(memory.peak, problem.cluster) == 0) best = makespan;
    } while (std::next_permutation(order.begin(), order.end()));
    int32_t g = 0;
    while (g < problem.ops.groups && ++of_group[g] == devices) of_group[g++] = 0;
    if (g == problem.ops.groups) return best;
  }
}

Problem RandomProblem(const Graph& graph, Comm comm, bool tight) {
  Cluster cluster(*rc::gen::inRange(1, 4), INT64_MAX, {.us_per_byte = 0.2, .latency_us = 1}, comm);
  const MemorySizes sizes(graph, {.rounding = 1});
  if (*rc::gen::inRange(0, 2)) {
    for (Device& device : cluster.devices) device.speed = *rc::gen::inRange(1, 4) / 2.0;
  }
  if (tight) {
    for (Device& device : cluster.devices)
      device.memory = sizes.Everything() * *rc::gen::inRange(3, 11) / 10;
  }
  return Problem(graph, cluster, {.rounding = 1}, GroupOperators(graph, Grouping::kTf));
}

RC_GTEST_PROP(ExactSearch, IsBruteForce, ()) {
  const Graph graph = RandomGraph({.max_ops = 5});
  const auto comm = static_cast<Comm>(*rc::gen::inRange(0, 3));
  const Problem problem = RandomProblem(graph, comm, *rc::gen::inRange(0, 2) == 0);
  SearchBudget budget;
  const ExactResult found = SearchPlacements(problem, kNever, budget);
  RC_ASSERT(found.finished);
  const Time best = BruteForce(problem);
  RC_ASSERT(found.best.has_value() == (best < kNever));
  if (!found.best) return;
  RC_ASSERT(found.best->schedule.makespan == best);
  RC_ASSERT(found.bound == best);
  RC_ASSERT(Violation(problem.ops, problem.cluster, found.best->schedule) == "");
}

// With an incumbent that cannot be beaten the search proves just that.
RC_GTEST_PROP(ExactSearch, ProvesAnOptimalIncumbent, ()) {
  const Graph graph = RandomGraph({.max_ops = 6});
  const Problem problem = RandomProblem(graph, Comm::kParallel, false);
  SearchBudget budget, again;
  const ExactResult first = SearchPlacements(problem, kNever, budget);
  const ExactResult second = SearchPlacements(problem, first.best->schedule.makespan, again);
  RC_ASSERT(!second.best.has_value());
  RC_ASSERT(second.bound == first.best->schedule.makespan);
}

// The lower bound is one: no placement and order that fit are faster, and it finds what memory and
// dear edges force.
RC_GTEST_PROP(JoinedBound, IsNeverAboveTheOptimum, ()) {
  const Graph graph = RandomGraph({.max_ops = 6});
  const auto comm = static_cast<Comm>(*rc::gen::inRange(0, 3));
  const Problem problem = RandomProblem(graph, comm, *rc::gen::inRange(0, 2) == 0);
  SearchBudget budget;
  const ExactResult exact = SearchPlacements(problem, kNever, budget);
  RC_ASSERT(exact.finished);
  if (!exact.best) return;
  RC_ASSERT(JoinedBound(problem.ops, problem.cluster, problem.sizes.Resident()) <=
            exact.best->schedule.makespan);
}

TEST(JoinedBound, CountsTheTransferThatMemoryForces) {
  const Graph graph = golden::Make({{"a", 5, 1, 60}, {"b", 5, 1, 60}, {"c", 5, 1, 60}},
                                   {{"a", "b", 9}, {"b", "c", 7}}, PersistentMemory::kSeparate);
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  const std::vector<int64_t> held = {60, 60, 60};
  EXPECT_EQ(JoinedBound(tasks, Cluster(2, 130, {}, Comm::kParallel), held),
            FromMicroseconds(5 + 5 + 7 + 5));
  EXPECT_EQ(JoinedBound(tasks, Cluster(3, 70, {}, Comm::kParallel), held),
            FromMicroseconds(5 + 9 + 5 + 5));
}

// Two operators of 10 that a transfer of 100 joins: one device, one after the other.
TEST(JoinedBound, AddsUpWhatIsTooDearToCut) {
  const Graph graph =
      golden::Make({{"s", 1}, {"a", 10}, {"b", 10}, {"t", 1}},
                   {{"s", "a", 100}, {"s", "b", 100}, {"a", "t", 100}, {"b", "t", 100}});
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  EXPECT_EQ(JoinedBound(tasks, Cluster(2, INT64_MAX, {}, Comm::kParallel), {0, 0, 0, 0}),
            FromMicroseconds(22));
}

// n 4, sum 400, M - largest 300: one device can be full, 3 are left.
TEST(MemoryRatio, IsThatOfTheDevicesThatAreLeft) {
  const SctRegime regime{.rho = 1, .holds = true};
  const Cluster four(4, 400, {}, Comm::kParallel);
  const MemoryRatio ratio = FindMemoryRatio(regime, four, {100, 100, 100, 100});
  ASSERT_TRUE(ratio.holds);
  EXPECT_EQ(ratio.devices, 3);
  EXPECT_DOUBLE_EQ(ratio.etf_ratio, 4.0 / 3 + 1 - 1.0 / 3 + 1);
  EXPECT_DOUBLE_EQ(ratio.sct_ratio, 4.0 / 3 + 2.0 / 3 * 4 / 3);
  EXPECT_FALSE(
      FindMemoryRatio(regime, Cluster(4, 150, {}, Comm::kParallel), {100, 100, 100, 100}).holds);
}

RC_GTEST_PROP(Milp, FindsTheOptimumOfTheSearch, ()) {
  const Graph graph = RandomGraph({.max_ops = 6});
  const Problem problem = RandomProblem(graph, Comm::kParallel, false);
  SearchBudget budget;
  const ExactResult exact = SearchPlacements(problem, kNever, budget);
  RC_ASSERT(exact.finished);
  const Evaluated single = Evaluate(problem, std::vector<int32_t>(graph.size(), 0));
  if (single.schedule.makespan == 0) return;
  const MilpResult milp = SolveMilp(problem, single, {});
  RC_ASSERT(milp.built);
  RC_ASSERT(milp.optimal);
  const auto optimum = static_cast<double>(exact.best->schedule.makespan);
  RC_ASSERT(static_cast<double>(milp.bound) <= optimum);
  RC_ASSERT(static_cast<double>(milp.bound) >= optimum * (1 - 1e-5) - 1);  // whole nanoseconds
  RC_ASSERT(milp.best.has_value());
  RC_ASSERT(static_cast<double>(milp.best->schedule.makespan) <= optimum * (1 + 1e-5));
}

TEST(Milp, LeavesLinksThatAreResourcesToOthers) {
  const Graph graph = golden::G1();
  const Problem problem(graph, golden::Devices(2), {}, GroupOperators(graph, Grouping::kNone));
  const Evaluated single = Evaluate(problem, std::vector<int32_t>(graph.size(), 0));
  EXPECT_FALSE(SolveMilp(problem, single, {}).built);
}

// Whole training steps, also with two micro-batches, where memory binds and where it does not.
RC_GTEST_PROP(Optimal, IsBruteForceOnTrainingSteps, ()) {
  const Graph graph = RandomGraph({.max_ops = 2, .max_us = 20});
  PlaceOptions options{.allocator_rounding = 1, .refine_steps = 10};
  options.training = {
      .step = Step::kTraining, .microbatches = "2", .launch_us = 1, .bandwidth = 0.5};
  auto step = MakeStep(graph, options, 2);
  if (step->size() > 6) {
    options.training.microbatches = "1";
    step = MakeStep(graph, options, 1);
  }
  Cluster cluster(2, INT64_MAX, {0.1, 1},
                  *rc::gen::element(Comm::kParallel, Comm::kDuplex, Comm::kHalf));
  if (*rc::gen::arbitrary<bool>()) {
    const int64_t all = MemorySizes(*step, StepMemory(options)).Everything();
    for (Device& device : cluster.devices) device.memory = all * *rc::gen::inRange(5, 11) / 10;
  }
  const Time best = BruteForce(StepProblem(*step, cluster, options));
  try {
    const OptimalResult result = FindOptimal(graph, cluster, {.place = options});
    RC_ASSERT(result.proven);
    RC_ASSERT(result.place.best.result.schedule.makespan == best);
    RC_ASSERT(result.place.bound.value() == best);
    RC_ASSERT(PlaceTraining(graph, cluster, options).result.bound.value() <= best);
  } catch (const ImpossibleError&) {
    RC_ASSERT(best == kNever);
  }
}

// The programme knows that updates come last, and its bound holds for steps as well.
TEST(Milp, BoundsTrainingSteps) {
  const Graph graph = golden::Make(
      {{"a", 5, 10, 10}, {"b", 7, 10, 10}, {"c", 6, 10, 10}, {"d", 4, 10, 10}},
      {{"a", "b", 1}, {"a", "c", 1}, {"b", "d", 1}, {"c", "d", 1}}, PersistentMemory::kSeparate);
  PlaceOptions options{.allocator_rounding = 1};
  options.training = {.step = Step::kTraining, .launch_us = 1, .bandwidth = 0.01};
  const auto step = MakeStep(graph, options, 1);
  const Problem problem =
      StepProblem(*step, golden::Devices(2, INT64_MAX, Comm::kParallel), options);
  const Evaluated single = Evaluate(problem, std::vector<int32_t>(step->size(), 0));
  const MilpResult programme = SolveMilp(problem, single, {});
  SearchBudget budget;
  const ExactResult searched = SearchPlacements(problem, kNever, budget);
  ASSERT_TRUE(programme.built && programme.optimal && searched.finished);
  // To its precision, and rounded down to nanoseconds.
  EXPECT_LE(programme.bound, searched.bound);
  EXPECT_GE(programme.bound, searched.bound - 1 - searched.bound / 100'000);
  EXPECT_EQ(programme.best->schedule.makespan, searched.bound);
}

TEST(Optimal, SaysWhichNumberOfMicrobatchesIsBest) {
  const Graph graph = golden::Make({{"a", 40, 1, 0}, {"b", 40, 1, 0}}, {{"a", "b", 0}},
                                   PersistentMemory::kSeparate);
  OptimalOptions options{.place = {.allocator_rounding = 1}, .time_limit_seconds = 3};
  options.place.training = {.step = Step::kTraining, .microbatches = "auto", .launch_us = 0};
  const OptimalResult result =
      FindOptimal(graph, Cluster(2, INT64_MAX, {}, Comm::kParallel), options);
  ASSERT_EQ(result.counts.size(), 6u);
  // Two stages of 40 and 40: (k + 1) (40 + 40) / k.
  EXPECT_EQ(result.counts[0].makespan, FromMicroseconds(160));
  EXPECT_EQ(result.counts[1].makespan, FromMicroseconds(120));
  EXPECT_TRUE(result.counts[0].proven);
  EXPECT_TRUE(result.counts[1].proven);
  for (const auto& count : result.counts) {
    EXPECT_LE(count.bound, count.makespan);
    EXPECT_LE(result.place.best.result.schedule.makespan, count.makespan);
    EXPECT_LE(result.place.bound.value(), count.bound);
  }
  EXPECT_EQ(result.step->step->options.microbatches, result.place.best.microbatches);
}

// The bound stays one when time is short.
TEST(Optimal, SaysWhenTimeRanOut) {
  const Graph graph = golden::G5();
  const Problem problem(graph, golden::Devices(3), {}, GroupOperators(graph, Grouping::kNone));
  SearchBudget none{.nodes = 3};
  const ExactResult found = SearchPlacements(problem, kNever, none);
  EXPECT_FALSE(found.finished);
  EXPECT_EQ(found.bound, ComputeLowerBound(problem.ops, problem.cluster).value());
}

TEST(Optimal, ProvesThatNothingFits) {
  const Graph graph = golden::Make({{"a", 5, 10, 500}, {"b", 5, 10, 500}, {"c", 5, 10, 500}},
                                   {{"a", "b", 1}, {"b", "c", 1}}, PersistentMemory::kSeparate);
  OptimalOptions options;
  options.place.allocator_rounding = 1;
  EXPECT_THROW(FindOptimal(graph, Cluster(2, 700, {}, Comm::kParallel), options), ImpossibleError);
}

}  // namespace
}  // namespace orchard::place
