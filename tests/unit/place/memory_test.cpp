// Memory over time and the list scheduler's limits, on graphs small enough to do by hand.
#include "place/memory.h"

#include <gtest/gtest.h>

#include "place/plan.h"
#include "unit/place/golden_graphs.h"

namespace orchard::place {
namespace {

// a -> b with a tensor of 100 bytes; a holds 1000 bytes of parameters, b 10 of scratch.
Graph Pair(PersistentMemory convention = PersistentMemory::kSeparate) {
  GraphBuilder builder("pair");
  builder.graph.persistent_memory = convention;
  builder.AddOp({.name = "a", .us = 5, .perm = 1000, .out = {100, 7}}, "");
  builder.AddOp({.name = "b", .us = 5, .temp = 10, .out = {40}}, "");
  builder.AddUse(0, 1, "a:0", 100, 3, "");
  return builder.Build();
}

std::vector<int64_t> Peak(const Graph& graph, const std::vector<int32_t>& device,
                          const MemoryOptions& options) {
  const Problem problem(graph, Cluster(2, INT64_MAX, {}, Comm::kParallel), options,
                        GroupOperators(graph, Grouping::kNone));
  return Evaluate(problem, device).memory.peak;
}

TEST(Memory, OutputsLiveFromTheirOperatorToTheirLastReader) {
  // While a runs: 1000 + 100 + 7. While b runs: 1000 + 100 + 10 + 40.
  EXPECT_EQ(Peak(Pair(), {0, 0}, {.rounding = 1}), (std::vector<int64_t>{1150, 0}));
}

TEST(Memory, CopiesLiveOnTheOtherDevice) {
  EXPECT_EQ(Peak(Pair(), {0, 1}, {.rounding = 1}), (std::vector<int64_t>{1107, 150}));
}

TEST(Memory, TrainingKeepsOutputsAndOptimiserStates) {
  const MemoryOptions adam{.mode = Mode::kTrain, .rounding = 1};
  EXPECT_EQ(Peak(Pair(), {0, 0}, adam), (std::vector<int64_t>{4000 + 107 + 10 + 40, 0}));
  EXPECT_EQ(Peak(Pair(), {0, 1}, adam), (std::vector<int64_t>{4107, 150}));
  const MemoryOptions sgd{.mode = Mode::kTrain, .optimizer = Optimizer::kSgd, .rounding = 1};
  EXPECT_EQ(Peak(Pair(), {0, 1}, sgd), (std::vector<int64_t>{2107, 150}));
}

TEST(Memory, AllocatorsRoundUp) {
  EXPECT_EQ(Peak(Pair(), {0, 1}, {.rounding = 512}), (std::vector<int64_t>{2048, 1536}));
}

TEST(Memory, ParametersThatAreOutputsAreHeldOnce) {
  GraphBuilder builder("variable");
  builder.graph.persistent_memory = PersistentMemory::kInOutputs;
  builder.AddOp({.name = "w", .us = 1, .perm = 1000, .out = {1000}}, "");
  builder.AddOp({.name = "m", .us = 1, .out = {10}}, "");
  builder.AddUse(0, 1, "w:0", 1000, 3, "");
  const Graph graph = builder.Build();
  EXPECT_EQ(Peak(graph, {0, 0}, {.rounding = 1}), (std::vector<int64_t>{1010, 0}));
  EXPECT_EQ(Peak(graph, {0, 1}, {.rounding = 1}), (std::vector<int64_t>{1000, 1010}));
}

TEST(Memory, ControlEdgesHoldNothing) {
  GraphBuilder builder("control");
  builder.AddOp({.name = "a", .us = 1}, "");
  builder.AddOp({.name = "b", .us = 1}, "");
  builder.AddUse(0, 1, "^a", 4, -1, "");
  EXPECT_EQ(Peak(builder.Build(), {0, 1}, {}), (std::vector<int64_t>{0, 0}));
}

}  // namespace
}  // namespace orchard::place
