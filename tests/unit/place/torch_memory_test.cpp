// The PyTorch program's memory bookkeeping, on graphs small enough to do by hand.
#include "place/torch_memory.h"

#include <gtest/gtest.h>

#include "place/groups.h"
#include "place/list_scheduler.h"

namespace orchard::place {
namespace {

// source (30 bytes) -> `type` with 100 bytes of parameters, 50 of output, 7 of scratch.
Graph Layer(const std::string& type) {
  GraphBuilder builder("layer");
  builder.AddOp({.name = "source", .us = 1, .out = {30}}, "");
  builder.AddOp({.name = "layer", .type = type, .us = 1, .perm = 100, .temp = 7, .out = {50}}, "");
  builder.AddUse(0, 1, "source:0", 30, -1, "");
  return builder.Build();
}

TaskGraph Tasks(const Graph& graph) {
  return MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
}

// How many tasks find a place on devices of `limit` bytes.
Schedule Planned(const Graph& graph, int devices, int64_t limit, Mode mode = Mode::kTrain,
                 std::vector<int32_t> where = {}) {
  const TaskGraph tasks = Tasks(graph);
  return ListSchedule(tasks, Cluster(devices, limit, {}, Comm::kParallel),
                      {.memory = MemoryModel::kTorch,
                       .torch = TorchNeeds(graph, tasks, mode),
                       .group_device = std::move(where)});
}

TEST(TorchMemory, CountsParametersGradientsOutputsAndInputs) {
  const Graph graph = Layer("aten::conv2d");
  const TorchNeed train = TorchNeeds(graph, Tasks(graph), Mode::kTrain)[1];
  EXPECT_EQ(train.permanent, 100 + 100 + 50);
  EXPECT_EQ(train.temporary, 50 + 100 + 30 + 7);
  EXPECT_EQ(train.parameters, 200);
  const TorchNeed infer = TorchNeeds(graph, Tasks(graph), Mode::kInfer)[1];
  EXPECT_EQ(infer.permanent, 100);
  EXPECT_EQ(infer.temporary, 30 + 7 + 50);
}

TEST(TorchMemory, MakesExceptionsWhereNothingIsCopied) {
  for (const char* type : {"Concat", "aten::cat", "MaxPool2d", "aten::max_pool2d"}) {
    const Graph graph = Layer(type);
    const TorchNeed need = TorchNeeds(graph, Tasks(graph), Mode::kTrain)[1];
    EXPECT_EQ(need.permanent, 50) << type;
    EXPECT_EQ(need.temporary, 0) << type;
  }
  for (const char* type : {"ReLU", "aten::relu_", "Flatten", "Squeeze"}) {
    const Graph graph = Layer(type);
    const TorchNeed need = TorchNeeds(graph, Tasks(graph), Mode::kTrain)[1];
    EXPECT_EQ(need.permanent + need.temporary, 0) << type;
  }
}

TEST(TorchMemory, PlacesWhatFitsToTheByte) {
  // The source keeps 30; the layer then needs 250 + 187 on top.
  EXPECT_EQ(Planned(Layer("Conv2d"), 1, 467).placed, 2);
  EXPECT_EQ(Planned(Layer("Conv2d"), 1, 466).placed, 1);
  EXPECT_EQ(Planned(Layer("Conv2d"), 1, 467).peak[0], 467);
  // Inference: nothing of the source stays; 100 + 87.
  EXPECT_EQ(Planned(Layer("Conv2d"), 1, 187, Mode::kInfer).placed, 2);
  EXPECT_EQ(Planned(Layer("Conv2d"), 1, 186, Mode::kInfer).placed, 1);
}

TEST(TorchMemory, KeepsTheHighestPeakFreeForParameters) {
  GraphBuilder builder("peak");
  builder.AddOp({.name = "greedy", .us = 1, .temp = 500, .out = {10}}, "");
  builder.AddOp({.name = "layer", .us = 1, .perm = 100, .out = {1}}, "");
  builder.AddUse(0, 1, "greedy:0", 10, -1, "");
  const Graph graph = builder.Build();
  // greedy peaks at 520 and leaves 10; the layer needs 10 + 201 + 111, and 520 + 200.
  EXPECT_EQ(Planned(graph, 1, 720).placed, 2);
  EXPECT_EQ(Planned(graph, 1, 719).placed, 1);
}

TEST(TorchMemory, CountsATensorSentToTwoReadersOnce) {
  GraphBuilder builder("copies");
  builder.AddOp({.name = "x", .us = 1, .out = {1000}}, "");
  builder.AddOp({.name = "y", .us = 1, .out = {10}}, "");
  builder.AddOp({.name = "z", .us = 1, .out = {10}}, "");
  builder.AddUse(0, 1, "x:0", 1000, -1, "");
  builder.AddUse(0, 2, "x:0", 1000, -1, "");
  const Graph graph = builder.Build();
  // x: 2000. y and z elsewhere: the copy, y's 10 for good, and 10 + 1010 for z.
  EXPECT_EQ(Planned(graph, 2, 2030, Mode::kTrain, {0, 1, 1}).placed, 3);
  EXPECT_EQ(Planned(graph, 2, 2029, Mode::kTrain, {0, 1, 1}).placed, 2);
}

TEST(TorchMemory, BeginsAGroupOnlyWhereAllOfItCanStay) {
  GraphBuilder builder("group");
  for (const char* name : {"a", "b"}) {
    builder.AddOp({.name = name, .us = 1, .perm = 100, .groups = {"g"}}, "");
  }
  const Graph graph = builder.Build();
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kTf));
  const auto placed = [&](int64_t limit) {
    return ListSchedule(
               tasks, Cluster(1, limit, {}, Comm::kParallel),
               {.memory = MemoryModel::kTorch, .torch = TorchNeeds(graph, tasks, Mode::kTrain)})
        .placed;
  };
  EXPECT_EQ(placed(500), 2);  // 200 each, and 100 for the gradient while it is made
  EXPECT_EQ(placed(499), 0);
}

}  // namespace
}  // namespace orchard::place
