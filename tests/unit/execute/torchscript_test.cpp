// What a TorchScript model becomes: operators, groups, and refusals by name.
#include "execute/torchscript.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "execute/executor.h"
#include "execute/program_graph.h"
#include "execute/run_model.h"
#include "unit/execute/script_module.h"

namespace orchard::execute {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string RefusalOf(const Script& script, const std::string& name) {
  try {
    ReadScript(script, name);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Every operator on a device of its own kind of turn: the hardest placement that groups allow.
void ExpectSameAsUnsplit(const Script& script, const std::string& name) {
  const std::filesystem::path path = WriteScript(script, name);
  const Program program = ReadScript(script, name);
  const Layout layout = RandomLayout(program, 2, {0, 1, 1, 0, 1, 0, 0});
  const std::vector<DeviceSpec> devices = {{.name = "cpu:0"}, {.name = "cpu:1"}};
  Executor executor(program, layout, devices, {.keep_results = true});
  for (int step = 0; step < 3; ++step) {
    const StepResult result = executor.Step();
    const Difference difference =
        Compare(result.outputs, {}, RunTorchScript(path, program, false).outputs, {});
    EXPECT_TRUE(difference.same_bits) << name << " step " << step << ": " << difference.outputs;
  }
}

TEST(TorchScript, ListsScalarsAndViewsAreNoOperators) {
  const Program program = ReadScript({.source = R"(
def forward(self, x):
  rows = x.size(0)
  y = torch.linear(x.view([rows * 2, -1]), self.w.t().t())
  return torch.relu(torch.cat([y, y + 1], 1)).transpose(0, 1)
)",
                                      .parameters = {{"w", {3, 4}}},
                                      .inputs = {"5x8"}},
                                     "views");
  EXPECT_THAT(Names(program), ElementsAre("x", "linear", "add", "cat", "relu", "transpose"));
  EXPECT_EQ(program.operators[1].output_bytes[0], 10 * 3 * 4);
  EXPECT_EQ(program.parameters.size(), 1u);
  EXPECT_TRUE(program.no_training.empty());
}

TEST(TorchScript, ParametersCountOnceAndTiedOnesShareADevice) {
  const Program program = ReadScript(
      {.source = "def forward(self, x):\n  return torch.linear(torch.linear(x, self.w), self.w)\n",
       .parameters = {{"w", {8, 8}}},
       .inputs = {"2x8"}},
      "tied");
  const place::Graph graph = MakeGraph(program, {});
  EXPECT_EQ(graph.ops[1].perm + graph.ops[2].perm, 8 * 8 * 4);
  ASSERT_EQ(graph.ops[1].groups.size(), 1u);
  EXPECT_EQ(graph.ops[1].groups, graph.ops[2].groups);
}

TEST(TorchScript, ControlFlowOnShapesIsFollowed) {
  const Script script{.source = R"(
def forward(self, x):
  for i in range(x.size(1)):
    if i % 2 == 0:
      x = x + 1
    else:
      x = x * 2
  return x
)",
                      .inputs = {"2x3"}};
  EXPECT_THAT(Names(ReadScript(script, "loop")), ElementsAre("x", "add", "mul", "add_2"));
  ExpectSameAsUnsplit(script, "loop");
}

TEST(TorchScript, WritesInPlaceBecomeResults) {
  const Script script{.source = R"(
def forward(self, x):
  y = torch.linear(x, self.w)
  z = torch.relu_(y)
  y.add_(z)
  return y.mul_(3).tanh_() - x
)",
                      .parameters = {{"w", {6, 6}}},
                      .inputs = {"4x6"}};
  const Program program = ReadScript(script, "in_place");
  EXPECT_TRUE(program.no_training.empty());
  EXPECT_TRUE(program.operators[1].groups.empty());
  ExpectSameAsUnsplit(script, "in_place");
}

TEST(TorchScript, WritesIntoViewsStayTogetherAndInOrder) {
  const Script script{.source = R"(
def forward(self, x):
  y = x * 2
  before = y.sum()
  y[:, 0].copy_(x[:, 1])
  y[:, 1].add_(1)
  return y + before, y.sum()
)",
                      .inputs = {"4x6"}};
  const Program program = ReadScript(script, "view_write");
  EXPECT_THAT(program.no_training, HasSubstr("aten::copy_"));
  ExpectSameAsUnsplit(script, "view_write");
  EXPECT_THROW(Executor(program, SingleLayout(program, 1), {{.name = "cpu:0"}}, {.train = true}),
               ImpossibleError);
}

TEST(TorchScript, AFreshTensorThatIsFilledFromTheInputIsMadeInEveryStep) {
  ExpectSameAsUnsplit({.source = R"(
def forward(self, x):
  y = torch.zeros([4, 6])
  y[:, 0].copy_(x[:, 1])
  y += x
  return y
)",
                       .inputs = {"4x6"}},
                      "filled");
}

TEST(TorchScript, ConstantsAreFoldedAsTheyWereWhenRead) {
  ExpectSameAsUnsplit({.source = R"(
def forward(self, x):
  mask = torch.ones([6])
  a = x * mask
  mask.mul_(2)
  return a + x * mask
)",
                       .inputs = {"4x6"}},
                      "constants");
}

TEST(TorchScript, ManyOutputsAreSeparatePorts) {
  const Script script{.source = R"(
def forward(self, x):
  a, b, c = torch.chunk(torch.linear(x, self.w), 3, 1)
  return [a * b, c], torch.max(x, 1)
)",
                      .parameters = {{"w", {9, 6}}},
                      .inputs = {"4x6"}};
  const Program program = ReadScript(script, "ports");
  EXPECT_EQ(program.outputs.size(), 4u);
  EXPECT_EQ(program.operators[2].output_bytes.size(), 3u);
  ExpectSameAsUnsplit(script, "ports");
}

TEST(TorchScript, RefusesByNameWhatCannotBePlaced) {
  EXPECT_THAT(RefusalOf({.source = R"(
def forward(self, x):
  return x * x.sum().item()
)",
                         .inputs = {"2x3"}},
                        "item"),
              HasSubstr("aten::item"));
  EXPECT_THAT(RefusalOf({.source = R"(
def forward(self, x):
  if bool(x.sum() > 0):
    x = x + 1
  return x
)",
                         .inputs = {"2x3"}},
                        "branch"),
              HasSubstr("aten::Bool"));
  EXPECT_THAT(RefusalOf({.source = "def forward(self, x):\n  return torch.dropout(x, 0.5, True)\n",
                         .inputs = {"2x3"}},
                        "dropout"),
              HasSubstr("aten::dropout"));
  EXPECT_THAT(RefusalOf({.source = "def forward(self, x):\n  self.seen.add_(1)\n  return x + 1\n",
                         .buffers = {{"seen", at::zeros({1})}},
                         .inputs = {"2x3"}},
                        "state"),
              HasSubstr("seen"));
}

TEST(TorchScript, SaysWhichInputsAreMissing) {
  const Script script{.source = "def forward(self, x, y):\n  return x + y\n", .inputs = {"2x3"}};
  EXPECT_THAT(RefusalOf(script, "inputs"), HasSubstr("takes 2 inputs, and 1 are given"));
}

TEST(TorchScript, DamagedFilesAreDataErrors) {
  const std::string path = testing::TempDir() + "/damaged.pt";
  std::ofstream(path) << "PK not a module";
  EXPECT_THROW(ReadTorchScript(path, {}, 0), DataError);
  EXPECT_THROW(ReadTorchScript("/nowhere/model.pt", {}, 0), DataError);
}

}  // namespace
}  // namespace orchard::execute
