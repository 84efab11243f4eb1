// The smallest limit that fits: by closed forms, and against every limit there is.
#include "place/limits.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"
#include "place/exact_search.h"
#include "place/place_training.h"
#include "unit/place/golden_graphs.h"
#include "unit/place/random_graph.h"

namespace orchard::place {
namespace {

PlaceOptions Unrounded() {
  PlaceOptions options;
  options.allocator_rounding = 1;
  options.refine_steps = 50;
  return options;
}

// Four operators that hold 100 each.
TEST(Limits, AreHalfOfAllOnTwoDevices) {
  const Graph graph =
      golden::Make({{"a", 5, 1, 100}, {"b", 5, 1, 100}, {"c", 5, 1, 100}, {"d", 5, 1, 100}},
                   {{"a", "b", 1}, {"b", "c", 1}, {"c", "d", 1}}, PersistentMemory::kSeparate);
  const Cluster two(2, INT64_MAX, {}, Comm::kParallel);
  const LimitSweep sweep = SweepLimits(graph, two, Unrounded(), 4);
  EXPECT_EQ(sweep.least, 200);
  // A tensor of 4 that is read, one that is written, and an output of 1; found to 1 %.
  EXPECT_GE(sweep.smallest, 209);
  EXPECT_LE(sweep.smallest, 211);
  EXPECT_EQ(sweep.points.front().limit, sweep.smallest);
  for (size_t k = 1; k < sweep.points.size(); ++k) {
    EXPECT_GT(sweep.points[k].limit, sweep.points[k - 1].limit);
    EXPECT_LE(sweep.points[k].makespan, sweep.points[k - 1].makespan);
    EXPECT_LE(sweep.points[k].peak, sweep.points[k].limit);
  }
}

// What LeastLimit rules out, no placement and order can do.
RC_GTEST_PROP(Limits, NothingFitsBelowTheLeast, ()) {
  const Graph graph = RandomGraph({.max_ops = 6});
  const MemoryOptions memory{.mode = static_cast<Mode>(*rc::gen::inRange(0, 2)), .rounding = 1};
  const std::vector<int32_t> share = GroupOperators(graph, Grouping::kTf);
  const Cluster any(*rc::gen::inRange(1, 4), INT64_MAX, {0.1, 1}, Comm::kParallel);
  const int64_t least = LeastLimit(Problem(graph, any, memory, share));
  if (least == 0) return;
  const Cluster below(any.size(), least - 1, {0.1, 1}, Comm::kParallel);
  SearchBudget budget;
  const ExactResult found = SearchPlacements(Problem(graph, below, memory, share), kNever, budget);
  RC_ASSERT(found.finished);
  RC_ASSERT(!found.best.has_value());
}

PlaceOptions Training(const char* microbatches) {
  PlaceOptions options = Unrounded();
  options.training = {.step = Step::kTraining, .microbatches = microbatches, .launch_us = 0};
  return options;
}

// Four operators with parameters of 100: with SGD each holds them and, from its backward pass on, a
// gradient.
TEST(Limits, OfATrainingStepHoldGradientsAndActivations) {
  const Graph graph =
      golden::Make({{"a", 40, 80, 100}, {"b", 40, 80, 100}, {"c", 40, 80, 100}, {"d", 40, 80, 100}},
                   {{"a", "b", 1}, {"b", "c", 1}, {"c", "d", 1}}, PersistentMemory::kSeparate);
  const Cluster two(2, INT64_MAX, {}, Comm::kParallel);
  PlaceOptions options = Training("1");
  options.optimizer = Optimizer::kSgd;
  const LimitSweep whole = SweepLimits(graph, two, options, 3);
  options.training.microbatches = "auto";
  const LimitSweep several = SweepLimits(graph, two, options, 3);
  // Updates run last, so at the end of a backward pass two operators' parameters and gradients are
  // there.
  EXPECT_GE(whole.least, 200);
  EXPECT_GE(whole.smallest, 400);
  EXPECT_LE(several.least, whole.least);
  EXPECT_LT(several.smallest, whole.smallest);  // activations of a part of the batch
  EXPECT_GT(several.points.back().microbatches, 1);
  EXPECT_LT(several.points.back().makespan, whole.points.back().makespan);
  for (const LimitSweep* sweep : {&whole, &several}) {
    EXPECT_EQ(sweep->points.front().limit, sweep->smallest);
    for (size_t k = 0; k < sweep->points.size(); ++k) {
      EXPECT_LE(sweep->points[k].peak, sweep->points[k].limit);
      if (k == 0) continue;
      EXPECT_LE(sweep->points[k].makespan, sweep->points[k - 1].makespan);
    }
  }
}

// What LeastTrainingLimit rules out, no placement and order of the step can do.
RC_GTEST_PROP(Limits, NoTrainingStepFitsBelowTheLeast, ()) {
  const Graph graph = RandomGraph({.max_ops = 4});
  const PlaceOptions options = Training("2");
  const Cluster any(*rc::gen::inRange(1, 4), INT64_MAX, {0.1, 1}, Comm::kParallel);
  const int64_t least = LeastTrainingLimit(graph, any, options);
  if (least == 0) return;
  const Cluster below(any.size(), least - 1, {0.1, 1}, Comm::kParallel);
  const auto step = MakeStep(graph, options, 2);
  SearchBudget budget{.nodes = 20'000};
  const ExactResult found = SearchPlacements(StepProblem(*step, below, options), kNever, budget);
  RC_ASSERT(!found.best.has_value());
}

// The limit that a refusal names: there is a placement.
RC_GTEST_PROP(Limits, TheOneOfARefusalWorks, ()) {
  const Graph graph = RandomGraph({.max_ops = 10});
  const PlaceOptions options = Unrounded();
  const Cluster small(2, 1, {0.1, 1}, Comm::kParallel);
  std::string refusal;
  try {
    Place(graph, small, options);
    return;
  } catch (const ImpossibleError& error) {
    refusal = error.what();
  }
  const size_t at = refusal.rfind('(', refusal.rfind(" bytes"));
  RC_ASSERT(at != std::string::npos);
  const int64_t limit = std::stoll(refusal.substr(at + 1));
  const PlaceResult result = Place(graph, Cluster(2, limit, {0.1, 1}, Comm::kParallel), options);
  for (int64_t peak : result.best.result.memory.peak) RC_ASSERT(peak <= limit);
}

}  // namespace
}  // namespace orchard::place
