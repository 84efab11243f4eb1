// Refinement: never worse than its starts, the same whoever computes it, and able to go on.
#include "place/refine.h"

#include <gtest/gtest.h>

#include "place/batch_anneal.h"
#include "place/generate.h"

namespace orchard::place {
namespace {

Problem MakeProblem(const Graph& graph, Comm comm, int64_t memory = INT64_MAX) {
  return Problem(graph, Cluster(3, memory, {}, comm), {}, GroupOperators(graph, Grouping::kNone));
}

// All on one device, in topological order.
Candidate OneDevice(const Problem& problem) {
  return {std::vector<int32_t>(problem.ops.size(), 0), problem.ops.topo};
}

bool Same(const Candidate& a, const Candidate& b) {
  return a.device == b.device && a.rank == b.rank;
}

Time MakespanOf(const Problem& problem, const Candidate& candidate) {
  Simulator simulator(problem.ops, problem.cluster);
  if (!candidate.rank.empty()) simulator.SetRanks(candidate.rank);
  return simulator.Run(candidate.device,
                       candidate.rank.empty() ? Dispatch::kFifo : Dispatch::kPriority);
}

TEST(Refine, FindsBetterPlacementsWithAllKindsOfLinks) {
  const Graph graph = Generate({.ops = 200, .width = 10, .us = 1000}, 1);
  for (Comm comm : {Comm::kParallel, Comm::kDuplex, Comm::kHalf}) {
    const Problem problem = MakeProblem(graph, comm);
    const RefineOptions options{.steps = 2000};
    const Candidate found =
        Refine(problem, BeginRefine(problem, {OneDevice(problem)}, options), options);
    EXPECT_LT(MakespanOf(problem, found), problem.ops.TotalWork() * 2 / 3) << Name(comm);
  }
}

TEST(Refine, IsTheSameForAnyNumberOfThreads) {
  const Graph graph = Generate({.ops = 150, .width = 8, .us = 1000}, 2);
  const Problem problem = MakeProblem(graph, Comm::kHalf);
  const RefineOptions one{.steps = 500, .threads = 1}, four{.steps = 500, .threads = 4};
  const auto begin = [&] { return BeginRefine(problem, {OneDevice(problem)}, one); };
  EXPECT_TRUE(Same(Refine(problem, begin(), one), Refine(problem, begin(), four)));
}

// What a checkpoint holds is all there is: going on from any of them ends in the same placement.
TEST(Refine, GoesOnFromAnyCheckpoint) {
  const Graph graph = Generate({.ops = 150, .width = 8, .us = 1000}, 3);
  const Problem problem = MakeProblem(graph, Comm::kHalf);
  const RefineOptions options{.steps = 1000, .chains = 2};
  std::vector<RefineState> states;
  RefineCalls calls;
  calls.checkpoint = [&](const RefineState& state) { states.push_back(state); };
  const Candidate whole =
      Refine(problem, BeginRefine(problem, {OneDevice(problem)}, options), options, calls);
  ASSERT_EQ(states.size(), static_cast<size_t>(kRefineRounds));
  for (const int round : {0, 7, 15, 19})
    EXPECT_TRUE(Same(Refine(problem, states[round], options), whole)) << round;
}

TEST(Refine, BringsMemoryBelowTheLimit) {
  const Graph graph = Generate({.ops = 100, .width = 10, .us = 1000}, 4);
  const Problem free = MakeProblem(graph, Comm::kParallel);
  const int64_t need = Evaluate(free, OneDevice(free).device).memory.peak[0];
  const Problem problem = MakeProblem(graph, Comm::kParallel, need / 2);
  const RefineOptions options{.steps = 3000};
  const Candidate found =
      Refine(problem, BeginRefine(problem, {OneDevice(problem)}, options), options);
  EXPECT_TRUE(Evaluate(problem, found.device).feasible());
}

TEST(BatchRefine, FindsPlansThatTheSimulatorRepeats) {
  const Graph graph = Generate({.ops = 200, .width = 10, .us = 1000}, 5);
  for (Comm comm : {Comm::kParallel, Comm::kDuplex, Comm::kHalf}) {
    const Problem problem = MakeProblem(graph, comm);
    const BatchRefineOptions options{.batches = 200, .chains = 8};
    const Candidate found = BatchRefine(problem, {OneDevice(problem)}, options);
    std::vector<int32_t> order(problem.ops.size());
    for (int32_t i = 0; i < problem.ops.size(); ++i) order[found.rank[i]] = i;
    Simulator simulator(problem.ops, problem.cluster);
    const Time makespan = simulator.Run(found.device, Dispatch::kOrder, order);
    EXPECT_LT(makespan, problem.ops.TotalWork() * 2 / 3) << Name(comm);
    EXPECT_LE(Evaluate(problem, found.device, order).schedule.makespan, makespan);
  }
}

TEST(BatchRefine, IsTheSameForAnyNumberOfThreads) {
  const Graph graph = Generate({.ops = 100, .width = 8, .us = 1000}, 6);
  const Problem problem = MakeProblem(graph, Comm::kParallel);
  const BatchRefineOptions one{.batches = 60, .chains = 8, .threads = 1},
      four{.batches = 60, .chains = 8, .threads = 4};
  EXPECT_TRUE(Same(BatchRefine(problem, {OneDevice(problem)}, one),
                   BatchRefine(problem, {OneDevice(problem)}, four)));
}

TEST(BatchRefine, BringsMemoryBelowTheLimit) {
  const Graph graph = Generate({.ops = 100, .width = 10, .us = 1000}, 4);
  const Problem free = MakeProblem(graph, Comm::kParallel);
  const int64_t need = Evaluate(free, OneDevice(free).device).memory.peak[0];
  const Problem problem = MakeProblem(graph, Comm::kParallel, need / 2);
  const Candidate found = BatchRefine(problem, {OneDevice(problem)}, {.batches = 300, .chains = 8});
  EXPECT_TRUE(Evaluate(problem, found.device).feasible());
}

}  // namespace
}  // namespace orchard::place
