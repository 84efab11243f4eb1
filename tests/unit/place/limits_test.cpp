// The smallest limit that fits: by closed forms, and against every limit there is.
#include "place/limits.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"
#include "place/exact_search.h"
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
