// PDLP against HiGHS, and the same whatever the threads.
#include <gtest/gtest.h>
#include <interfaces/highs_c_api.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "place/generate.h"
#include "place/groups.h"
#include "place/pdlp_solver.h"
#include "place/sct_pdlp.h"
#include "unit/place/golden_graphs.h"
#include "unit/place/random_graph.h"
#include "unit/place/wide_programme.h"

namespace orchard::place {
namespace {

constexpr double kSlack = 2e-4;  // of objectives, relative

// Objective by HiGHS; NaN unless it finds an optimum.
double HighsObjective(const LinearProgramme& lp) {
  const std::vector<double> no_limit(lp.rhs.size(), 1e30);
  std::vector<double> z(lp.columns()), duals(lp.columns()), rows(lp.rhs.size()),
      row_duals(lp.rhs.size());
  void* highs = Highs_create();
  Highs_setBoolOptionValue(highs, "output_flag", 0);
  Highs_passLp(highs, lp.columns(), lp.rows.size(), static_cast<HighsInt>(lp.rows.index.size()),
               kHighsMatrixFormatRowwise, kHighsObjSenseMinimize, 0, lp.cost.data(),
               lp.lower.data(), lp.upper.data(), lp.rhs.data(), no_limit.data(),
               lp.rows.begin.data(), lp.rows.index.data(), lp.rows.value.data());
  Highs_run(highs);
  const bool optimal = Highs_getModelStatus(highs) == kHighsModelStatusOptimal;
  const double objective = Highs_getObjectiveValue(highs);
  Highs_destroy(highs);
  return optimal ? objective : std::nan("");
}

// A programme that some point within the bounds satisfies, with costs that bound it from below.
LinearProgramme RandomProgramme() {
  const auto pick = [](int low, int high) { return *rc::gen::inRange(low, high + 1); };
  LinearProgramme lp;
  const int columns = pick(1, 12), rows = pick(1, 10);
  std::vector<double> inside;
  for (int j = 0; j < columns; ++j) {
    const bool free_above = pick(0, 2) == 0;
    lp.lower.push_back(pick(-4, 2));
    lp.upper.push_back(free_above ? kUnbounded : lp.lower.back() + pick(0, 6));
    lp.cost.push_back(free_above ? pick(0, 5) : pick(-5, 5));
    inside.push_back(free_above ? lp.lower[j] + pick(0, 3) : (lp.lower[j] + lp.upper[j]) / 2);
  }
  for (int r = 0; r < rows; ++r) {
    double sum = 0;
    for (int j = 0; j < columns; ++j) {
      const int value = pick(0, 2) == 0 ? pick(-6, 6) : 0;
      if (value == 0) continue;
      lp.rows.Add(j, value);
      sum += value * inside[j];
    }
    lp.rows.EndRow();
    lp.rhs.push_back(sum - pick(0, 2));
  }
  return lp;
}

RC_GTEST_PROP(Pdlp, FindsTheObjectiveOfHighs, ()) {
  const LinearProgramme lp = RandomProgramme();
  const double best = HighsObjective(lp);
  // Rows may be violated by the tolerance, which a multiplier turns into more of the objective.
  const PdlpResult result = SolvePdlp(lp, {.tolerance = 1e-6, .max_attempts = 1'000'000});
  RC_ASSERT(result.solved);
  const double slack = kSlack * (1 + 2 * std::abs(best));
  RC_ASSERT(std::abs(result.primal_objective - best) <= slack);
  RC_ASSERT(std::abs(result.dual_objective - best) <= slack);
  for (int32_t j = 0; j < lp.columns(); ++j)
    RC_ASSERT(result.z[j] >= lp.lower[j] - 1e-12 && result.z[j] <= lp.upper[j] + 1e-12);
  for (double y : result.y) RC_ASSERT(y >= 0);
}

// max x + 2y with x + y <= 4, x <= 3, y <= 2: (2, 2).
TEST(Pdlp, SolvesATextbookProgramme) {
  LinearProgramme lp{.cost = {-1, -2}, .lower = {0, 0}, .upper = {3, 2}};
  lp.rows.Add(0, -1);
  lp.rows.Add(1, -1);
  lp.rows.EndRow();
  lp.rhs = {-4};
  const PdlpResult result = SolvePdlp(lp, {.tolerance = 1e-8});
  ASSERT_TRUE(result.solved);
  EXPECT_NEAR(result.z[0], 2, 1e-6);
  EXPECT_NEAR(result.z[1], 2, 1e-6);
  EXPECT_NEAR(result.y[0], 1, 1e-6);
}

TEST(Pdlp, ScalingLeavesEntriesOfOneSize) {
  LinearProgramme lp{.cost = {1, 1, 1}, .lower = {0, 0, 0}, .upper = {9, 9, 9}};
  for (double size : {1e-4, 1.0, 1e5}) {
    for (int32_t j = 0; j < 3; ++j) lp.rows.Add(j, size * (j + 1));
    lp.rows.EndRow();
    lp.rhs.push_back(size);
  }
  const ScaledProgramme scaled = Scale(lp);
  const auto [least, most] =
      std::minmax_element(scaled.programme.rows.value.begin(), scaled.programme.rows.value.end());
  EXPECT_LT(*most / *least, 1.1);
  for (int32_t k = 0; k < 9; ++k) {
    const int32_t r = k / 3, j = lp.rows.index[k];
    EXPECT_NEAR(scaled.programme.rows.value[k],
                scaled.row_scale[r] * lp.rows.value[k] * scaled.column_scale[j], 1e-12);
  }
}

TEST(Pdlp, GivesTheSameBitsForAnyNumberOfThreads) {
  const LinearProgramme lp = WideProgramme();
  const PdlpResult one = SolvePdlp(lp, {.max_attempts = 256, .threads = 1});
  const PdlpResult five = SolvePdlp(lp, {.max_attempts = 256, .threads = 5});
  EXPECT_EQ(one.z, five.z);
  EXPECT_EQ(one.y, five.y);
  EXPECT_EQ(one.primal_objective, five.primal_objective);
}

TaskGraph Alone(const Graph& graph) {
  return MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
}

// Both limits of the objective hold: no x is better than the bound, and x is feasible.
void ExpectHighsObjective(const TaskGraph& tasks, const Cluster& cluster) {
  const SctLp exact = SolveSctLp(tasks, cluster, 60);
  const SctPdlp found = SolveSctPdlp(tasks, cluster, {});
  ASSERT_TRUE(exact.optimal);
  ASSERT_TRUE(found.lp.optimal);
  EXPECT_NEAR(found.lp.makespan_us, exact.makespan_us, 1e-3 * exact.makespan_us);
  EXPECT_GE(found.lp.makespan_us, exact.makespan_us * (1 - 1e-6));
  EXPECT_LE(found.bound_us, exact.makespan_us * (1 + 1e-6));
  std::vector<double> out(tasks.size(), 0), in(tasks.size(), 0);
  for (size_t e = 0; e < tasks.edges.size(); ++e) {
    EXPECT_GE(found.lp.x[e], 0);
    EXPECT_LE(found.lp.x[e], 1);
    out[tasks.edges[e].src] += 1 - found.lp.x[e];
    in[tasks.edges[e].dst] += 1 - found.lp.x[e];
  }
  for (int32_t i = 0; i < tasks.size(); ++i) {
    EXPECT_LE(out[i], 1 + 1e-12);
    EXPECT_LE(in[i], 1 + 1e-12);
  }
}

TEST(SctPdlp, FindsTheObjectiveOfHighsOnLayeredGraphs) {
  const Cluster cluster(4, INT64_MAX, {}, Comm::kParallel);
  for (uint64_t seed = 0; seed < 3; ++seed) {
    ExpectHighsObjective(
        Alone(Generate({.ops = 200 + 100 * static_cast<int64_t>(seed), .width = 12}, seed)),
        cluster);
  }
  ExpectHighsObjective(Alone(Generate({.shape = Shape::kForkJoin, .ops = 300, .width = 9}, 4)),
                       cluster);
}

TEST(SctPdlp, ContractsAChainOfAnyLength) {
  const Cluster cluster(2, INT64_MAX, {}, Comm::kParallel);
  const TaskGraph chain = Alone(Generate({.shape = Shape::kChain, .ops = 100'000}, 1));
  const SctPdlp found = SolveSctPdlp(chain, cluster, {});
  ASSERT_TRUE(found.lp.optimal);
  EXPECT_EQ(found.iteration.attempts, 0);
  EXPECT_NEAR(found.lp.makespan_us, ToMicroseconds(chain.TotalWork()), 1e-3);
}

RC_GTEST_PROP(SctPdlp, RoundsToAMatching, ()) {
  const Graph graph = RandomGraph({.groups = false});
  const Cluster cluster(2, INT64_MAX, {.us_per_byte = 0.3, .latency_us = 1}, Comm::kParallel);
  const TaskGraph tasks = Alone(graph);
  const SctPdlp found = SolveSctPdlp(tasks, cluster, {});
  RC_ASSERT(found.lp.optimal);
  const SctLp exact = SolveSctLp(tasks, cluster, 60);
  RC_ASSERT(std::abs(found.lp.makespan_us - exact.makespan_us) <= 1e-3 * exact.makespan_us + 1e-6);
  std::vector<int> children(tasks.size(), 0), parents(tasks.size(), 0);
  for (size_t e = 0; e < tasks.edges.size(); ++e) {
    if (found.lp.x[e] >= 0.5 - 1e-6) continue;
    RC_ASSERT(++children[tasks.edges[e].src] <= 1);
    RC_ASSERT(++parents[tasks.edges[e].dst] <= 1);
  }
}

}  // namespace
}  // namespace orchard::place
