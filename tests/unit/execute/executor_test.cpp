// Placed runs against one device, on random models and random placements.
#include "execute/executor.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "execute/run_model.h"
#include "execute/torchscript.h"
#include "place/host_plan.h"
#include "unit/execute/script_module.h"

namespace orchard::execute {
namespace {

using ::testing::HasSubstr;

std::vector<DeviceSpec> Devices(int32_t count) {
  std::vector<DeviceSpec> devices;
  for (int32_t d = 0; d < count; ++d) devices.push_back({.name = fmt::format("cpu:{}", d)});
  return devices;
}

// A model of `choices.size()` lines, each of which reads tensors made before: products with tied
// and untied weights, several outputs, views, writes in place, joins.
Script RandomScript(const std::vector<int>& choices) {
  Script script{.source = "def forward(self, t0, t1):\n", .inputs = {"3x4", "3x4"}};
  int made = 2;
  const auto any = [&](int c) { return fmt::format("t{}", std::abs(c) % made); };
  for (size_t k = 0; k < choices.size(); ++k) {
    const int c = choices[k];
    const std::string a = any(c / 8), b = any(c / 64), weight = fmt::format("w{}", (c / 8) % 3);
    std::string line;
    switch (c % 8) {
      case 0:
      case 1:
        script.parameters[weight] = {4, 4};
        line = fmt::format("torch.linear({}, self.{})", a, weight);
        break;
      case 2:
        line = fmt::format("torch.tanh(({} + 1).mul_(2))", a);
        break;
      case 3:
        line = fmt::format("{} + {}", a, b);
        break;
      case 4:
        line = fmt::format("{} * {}", a, b);
        break;
      case 5:
        line = fmt::format("torch.cat(torch.chunk({}, 2, 1)[::-1], 1)", a);
        break;
      case 6:
        line = fmt::format("torch.relu_({} - {})", a, b);
        break;
      default:
        line = fmt::format("torch.softmax({}.t().contiguous().view([4, 3]), 1).t()", a);
    }
    script.source += fmt::format("  t{} = {}\n", made++, line);
  }
  script.source += fmt::format("  return t{}, t{} + t{}\n", made - 1, made - 1, made - 2);
  return script;
}

RC_GTEST_PROP(Executor, ResultsDoNotDependOnThePlacement, ()) {
  const auto choices = *rc::gen::resize(
      14, rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 4096))));
  const auto draw =
      *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 3)));
  const auto devices = *rc::gen::inRange(1, 4);
  const auto train = *rc::gen::arbitrary<bool>();
  const Script script = RandomScript(choices);
  const std::filesystem::path path = WriteScript(script, "random");
  const Program program = ReadScript(script, "random");
  const ExecutorOptions how{.train = train, .learning_rate = 0.1, .keep_results = true};
  Executor placed(program, RandomLayout(program, devices, draw), Devices(devices), how);
  Executor single(program, SingleLayout(program, 1), Devices(1), how);
  const Reference whole = RunTorchScript(path, program, train && !program.parameters.empty());
  for (int step = 0; step < 2; ++step) {
    const StepResult a = placed.Step(), b = single.Step();
    const Difference difference = Compare(a.outputs, a.gradients, b.outputs, b.gradients);
    RC_ASSERT(difference.same_bits);
    if (step > 0) continue;
    std::vector<at::Tensor> gradients;
    for (size_t p = 0; p < program.parameters.size(); ++p) {
      if (train && program.parameters[p].trainable) gradients.push_back(a.gradients[p]);
    }
    const Difference unsplit = Compare(a.outputs, gradients, whole.outputs, whole.gradients);
    RC_ASSERT(unsplit.outputs < 1e-6);
    RC_ASSERT(unsplit.gradients < 1e-5);
  }
  const std::vector<at::Tensor> x = placed.Parameters(), y = single.Parameters();
  for (size_t p = 0; p < x.size(); ++p) RC_ASSERT(at::equal(x[p], y[p]));
}

Script Chain(int layers, int64_t width) {
  Script script{.source = "def forward(self, x):\n", .inputs = {fmt::format("{0}x{0}", width)}};
  for (int k = 0; k < layers; ++k) {
    script.parameters[fmt::format("w{}", k)] = {width, width};
    script.source += fmt::format("  x = torch.linear(x, self.w{})\n", k);
  }
  script.source += "  return x\n";
  return script;
}

TEST(Executor, SgdMovesParametersAgainstTheGradient) {
  const Program program = ReadScript(Chain(2, 4), "sgd");
  Executor executor(program, RandomLayout(program, 2, {0, 1, 0}), Devices(2),
                    {.train = true, .learning_rate = 0.5, .keep_results = true});
  const std::vector<at::Tensor> before = executor.Parameters();
  const StepResult step = executor.Step();
  const std::vector<at::Tensor> after = executor.Parameters();
  for (size_t p = 0; p < before.size(); ++p) {
    ASSERT_TRUE(step.gradients[p].defined());
    EXPECT_TRUE(at::allclose(after[p], before[p] - 0.5 * step.gradients[p], 1e-6, 1e-7));
  }
}

TEST(Executor, ATensorGoesOnceToEachDevice) {
  const Program program =
      ReadScript({.source = "def forward(self, x):\n  y = x + 1\n  return y * 2, y * 3, y * 4\n",
                  .inputs = {"5x5"}},
                 "once");
  Layout layout{{0, 0, 1, 1, 2}, {{0, 1}, {2, 3}, {4}}};
  Executor executor(program, layout, Devices(3), {});
  const StepResult step = executor.Step();
  ASSERT_EQ(step.transfers.size(), 2u);
  for (const TransferSpan& transfer : step.transfers) {
    EXPECT_EQ(transfer.value.op, 1);
    EXPECT_EQ(transfer.bytes, 100);
  }
}

TEST(Executor, MemoryIsThatOfTheTensorsThatADeviceHolds) {
  // Three layers of 64 x 64: on one device three weights, an input, and two results at a time.
  const Program program = ReadScript(Chain(3, 64), "memory");
  const int64_t matrix = 64 * 64 * 4;
  Executor executor(program, SingleLayout(program, 1), Devices(1), {});
  executor.Step();
  const StepResult step = executor.Step();
  EXPECT_EQ(step.peak_bytes[0], (3 + 1 + 2) * matrix);
  // Weights of one layer, the copy that comes in and the result on the second device.
  Executor split(program, {{0, 0, 1, 0}, {{0, 1, 3}, {2}}}, Devices(2), {});
  EXPECT_EQ(split.Step().peak_bytes[1], 3 * matrix);
}

TEST(Executor, ADeviceThatIsTooSmallIsAResourceError) {
  const Program program = ReadScript(Chain(3, 64), "budget");
  const int64_t matrix = 64 * 64 * 4;
  std::vector<DeviceSpec> devices = Devices(2);
  devices[1].limit = 3 * matrix - 1;
  const Layout layout{{0, 0, 1, 0}, {{0, 1, 3}, {2}}};
  Executor executor(program, layout, devices, {});
  try {
    executor.Step();
    FAIL() << "the step should not have fitted";
  } catch (const ResourceError& error) {
    EXPECT_THAT(error.what(), HasSubstr("cpu:1"));
    EXPECT_THAT(error.what(), HasSubstr("linear_2"));
  }
  devices[1].limit = matrix - 1;
  EXPECT_THROW(Executor(program, layout, devices, {}), ResourceError);
  devices[1].limit = 3 * matrix;
  Executor(program, layout, devices, {}).Step();
}

TEST(Executor, GroupsMustShareADevice) {
  const Program program = ReadScript(
      {.source = "def forward(self, x):\n  return torch.linear(torch.linear(x, self.w), self.w)\n",
       .parameters = {{"w", {8, 8}}},
       .inputs = {"2x8"}},
      "apart");
  EXPECT_THROW(Executor(program, {{0, 0, 1}, {{0, 1}, {2}}}, Devices(2), {}), ImpossibleError);
}

TEST(Executor, ThrottledTransfersTakeAtLeastWhatTheLinkSays) {
  const Program program = ReadScript(
      {.source = "def forward(self, x):\n  return (x + 1) * 2\n", .inputs = {"10x10"}}, "throttle");
  place::Cluster cluster(2, INT64_MAX, {10, 1000}, place::Comm::kParallel);
  Executor executor(program, {{0, 0, 1}, {{0, 1}, {2}}}, Devices(2), {.throttle = &cluster});
  const StepResult step = executor.Step();
  ASSERT_EQ(step.transfers.size(), 1u);
  EXPECT_GE(step.transfers[0].span.us(), 5000);  // 400 bytes at 10 us, and 1 ms
  EXPECT_GE(step.forward[2].begin_us - step.forward[1].begin_us, 5000);
}

// ---- parameters on the host ----

// A plan without fetches for one operator after another.
std::shared_ptr<place::HostPlan> EmptyPlan(const Program& program, size_t devices) {
  auto plan = std::make_shared<place::HostPlan>();
  plan->offloaded.assign(program.operators.size(), 0);
  plan->fetches.resize(devices);
  return plan;
}

// All layers of Chain(3, ...) on one device, each fetched when the one before has ended.
Layout LateFetches(const Program& program) {
  Layout layout = SingleLayout(program, 1);
  auto plan = EmptyPlan(program, 1);
  for (int32_t op = 1; op <= 3; ++op) {
    plan->offloaded[op] = 1;
    plan->fetches[0].push_back({op, {op}, op - 1});
  }
  layout.host = plan;
  return layout;
}

TEST(Executor, HoldsParametersOfTheHostWhileTheirReaderRuns) {
  const Program program = ReadScript(Chain(3, 64), "offload");
  const int64_t matrix = 64 * 64 * 4;
  const Layout layout = LateFetches(program);
  // The input of the model, and of each layer what it reads, its weights, and what it makes.
  std::vector<DeviceSpec> devices = Devices(1);
  devices[0].limit = 4 * matrix;
  Executor executor(program, layout, devices, {.keep_results = true});
  executor.Step();
  const StepResult step = executor.Step();
  EXPECT_EQ(step.peak_bytes[0], 4 * matrix);
  ASSERT_EQ(step.fetches.size(), 3u);
  for (int32_t k = 0; k < 3; ++k) {
    EXPECT_EQ(step.fetches[k].op, k + 1);
    EXPECT_EQ(step.fetches[k].bytes, matrix);
    EXPECT_GE(step.forward[k + 1].begin_us, step.fetches[k].span.end_us);
    if (k > 0) {
      EXPECT_GE(step.fetches[k].span.end_us, step.forward[k].begin_us);
    }
  }
  const StepResult single =
      Executor(program, SingleLayout(program, 1), Devices(1), {.keep_results = true}).Step();
  EXPECT_TRUE(Compare(step.outputs, {}, single.outputs, {}).same_bits);
  devices[0].limit = 4 * matrix - 1;
  EXPECT_THROW(Executor(program, layout, devices, {}).Step(), ResourceError);
}

TEST(Executor, AFetchWithoutRoomNamesTheOperatorAndTheDevice) {
  const Program program = ReadScript(Chain(3, 64), "no_room");
  std::vector<DeviceSpec> devices = Devices(1);
  devices[0].limit = int64_t{64} * 64 * 4;  // the input alone
  Executor executor(program, LateFetches(program), devices, {});
  try {
    executor.Step();
    FAIL() << "the step should not have fitted";
  } catch (const ResourceError& error) {
    EXPECT_THAT(error.what(), HasSubstr("from the host to cpu:0"));
  }
}

TEST(Executor, ThrottledFetchesTakeAtLeastWhatTheLinkSays) {
  const Program program = ReadScript(Chain(3, 8), "slow_host");
  place::Cluster cluster(1, INT64_MAX, {}, place::Comm::kParallel);
  cluster.host_link = {10, 1000};
  Executor executor(program, LateFetches(program), Devices(1), {.throttle = &cluster});
  const StepResult step = executor.Step();
  for (const FetchSpan& fetch : step.fetches)
    EXPECT_GE(fetch.span.us(), 3560);  // 256 bytes at 10 us, and 1 ms
  EXPECT_GE(step.forward[3].begin_us, 3 * 3560);
}

RC_GTEST_PROP(Executor, ResultsDoNotDependOnWhereParametersLive, ()) {
  const auto choices = *rc::gen::resize(
      14, rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 4096))));
  const auto draw =
      *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 3)));
  const auto devices = *rc::gen::inRange(1, 4);
  const Program program = ReadScript(RandomScript(choices), "hosted");
  Layout layout = RandomLayout(program, devices, draw);
  std::vector<int> readers(program.parameters.size(), 0);
  for (const Operator& op : program.operators) {
    for (int32_t p : op.parameters) ++readers[p];
  }
  auto plan = EmptyPlan(program, layout.order.size());
  size_t fetches = 0;
  for (size_t d = 0; d < layout.order.size(); ++d) {
    const std::vector<int32_t>& order = layout.order[d];
    int last = -1;
    for (int at = 0; at < static_cast<int>(order.size()); ++at) {
      const Operator& op = program.operators[order[at]];
      const bool alone = std::all_of(op.parameters.begin(), op.parameters.end(),
                                     [&](int32_t p) { return readers[p] == 1; });
      if (op.parameters.empty() || !alone || *rc::gen::inRange(0, 3) == 0) continue;
      last = *rc::gen::inRange(last, at);
      plan->offloaded[order[at]] = 1;
      plan->fetches[d].push_back({order[at], {order[at]}, last < 0 ? -1 : order[last]});
      ++fetches;
    }
  }
  layout.host = plan;
  const ExecutorOptions how{.keep_results = true};
  Executor placed(program, layout, Devices(devices), how);
  Executor single(program, SingleLayout(program, 1), Devices(1), how);
  for (int step = 0; step < 2; ++step) {
    const StepResult a = placed.Step();
    RC_ASSERT(a.fetches.size() == fetches);
    RC_ASSERT(Compare(a.outputs, {}, single.Step().outputs, {}).same_bits);
  }
}

}  // namespace
}  // namespace orchard::execute
