// The packing kernel against its CPU twin, and placed runs on parts of one GPU against the CPU.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/philox.h"
#include "cuda/execute/pack.h"
#include "execute/calibrate.h"
#include "execute/executor.h"
#include "execute/packed_copy.h"
#include "execute/profile.h"
#include "execute/run_model.h"
#include "gpu/device_array.h"
#include "nn/device.h"
#include "unit/execute/script_module.h"

namespace orchard::execute {
namespace {

using gpu::DeviceArray;

class ExecuteGpu : public gpu::DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    nn::LoadCudaBackend();
    nn::AllowTf32(false);
  }
};

std::vector<uint8_t> Noise(int64_t bytes, uint64_t seed) {
  std::vector<uint8_t> values(bytes);
  for (int64_t i = 0; i < bytes; ++i)
    values[i] = static_cast<uint8_t>(
        PhiloxAt({static_cast<uint32_t>(seed), 0}, static_cast<uint64_t>(i)).word[0]);
  return values;
}

TEST_F(ExecuteGpu, PacksAndUnpacksAsItsTwin) {
  constexpr int64_t kSizes[] = {1, 15, 16, 17, 255, 256, 4096, 65536, 1'000'003};
  std::vector<std::vector<uint8_t>> host;
  std::vector<std::unique_ptr<DeviceArray<uint8_t>>> device;
  PackArgs on_host, on_device;
  int64_t end = 0, same = 0;
  for (int64_t bytes : kSizes) {
    host.push_back(Noise(bytes, static_cast<uint64_t>(bytes)));
    device.push_back(std::make_unique<DeviceArray<uint8_t>>(host.back()));
  }
  for (size_t k = 0; k < host.size(); ++k) {
    AddToPack(on_host, host[k].data(), kSizes[k], end);
    AddToPack(on_device, device[k]->data(), kSizes[k], same);
  }
  std::vector<uint8_t> filled(end, 0xFF);
  DeviceArray<uint8_t> buffer(end);
  on_host.buffer = filled.data();
  on_device.buffer = buffer.data();
  Pack(on_host);
  cuda::Pack(on_device, nullptr);
  EXPECT_EQ(buffer.Host(), filled);

  // One byte off, so that the path of unaligned addresses is taken.
  PackArgs back = on_device;
  back.unpack = true;
  std::vector<std::unique_ptr<DeviceArray<uint8_t>>> unpacked;
  for (size_t k = 0; k < host.size(); ++k) {
    unpacked.push_back(std::make_unique<DeviceArray<uint8_t>>(kSizes[k] + 1));
    back.items[k].tensor = unpacked.back()->data() + k % 2;
  }
  cuda::Pack(back, nullptr);
  for (size_t k = 0; k < host.size(); ++k) {
    const std::vector<uint8_t> got = unpacked[k]->Host();
    EXPECT_TRUE(
        std::equal(host[k].begin(), host[k].end(), got.begin() + static_cast<int64_t>(k % 2)))
        << kSizes[k] << " bytes";
    EXPECT_EQ(k % 2 == 0 ? got.back() : got.front(), 0xFF);  // the byte beside was not written
  }
}

TEST_F(ExecuteGpu, PackedTensorsArriveWithTheirStrides) {
  const c10::Device gpu(c10::kCUDA, 0);
  std::vector<at::Tensor> tensors = {at::Tensor()};
  for (int64_t k = 1; k < 100; ++k)
    tensors.push_back(
        at::randn({k, 7}, at::kFloat).to(k % 3 == 0 ? at::kHalf : at::kFloat).to(gpu));
  tensors.push_back(at::randn({30, 20}, at::kDouble).to(gpu).t());
  tensors.push_back(at::arange(9).to(gpu));
  ASSERT_TRUE(WorthPacking(tensors, gpu));
  const std::vector<at::Tensor> copies = PackedCopy(tensors, gpu);
  ASSERT_EQ(copies.size(), tensors.size());
  EXPECT_FALSE(copies[0].defined());
  for (size_t k = 1; k < tensors.size(); ++k) {
    EXPECT_TRUE(at::equal(copies[k], tensors[k])) << k;
    EXPECT_EQ(copies[k].strides(), tensors[k].strides()) << k;
    EXPECT_NE(copies[k].data_ptr(), tensors[k].data_ptr()) << k;
  }
  tensors.resize(4);
  EXPECT_FALSE(WorthPacking(tensors, gpu));
}

// Twelve small tensors cross from one device to the other as one parcel, then large ones.
const Script& Model() {
  static const Script script{.source = R"(
def forward(self, x, y):
  a = torch.linear(x, self.w0)
  parts = torch.chunk(a.view([96, 32]), 12, 0)
  s = parts[0] * parts[1]
  for i in range(10):
    s = s + parts[i + 2] * parts[i]
  b = torch.relu_(torch.linear(y, self.w1))
  c = torch.linear(b, self.w1) + b
  return s, torch.softmax(c, 1)
)",
                             .parameters = {{"w0", {96, 64}}, {"w1", {64, 64}}},
                             .inputs = {"32x64", "32x64"}};
  return script;
}

std::vector<DeviceSpec> Parts(int count) {
  std::vector<DeviceSpec> devices;
  for (int k = 0; k < count; ++k) devices.push_back(ParseDevice(fmt::format("cuda:0/{}", k)));
  return devices;
}

TEST_F(ExecuteGpu, PartsOfAGpuComputeWhatTheCpuComputes) {
  const Program program = ReadScript(Model(), "gpu_model");
  for (const bool train : {false, true}) {
    const ExecutorOptions how{.train = train, .learning_rate = 0.01, .keep_results = true};
    Executor single(program, SingleLayout(program, 1), {ParseDevice("cpu:0")}, how);
    std::vector<StepResult> expected;
    for (int step = 0; step < 3; ++step) expected.push_back(single.Step());
    for (int draw = 0; draw < 6; ++draw) {
      const Layout layout =
          RandomLayout(program, 3, {draw, draw + 1, 3 * draw, 1, 2, 0, draw / 2, 1, 0, 2});
      Executor placed(program, layout, Parts(3), how);
      for (int step = 0; step < 3; ++step) {
        const StepResult result = placed.Step();
        const Difference difference = Compare(result.outputs, result.gradients,
                                              expected[step].outputs, expected[step].gradients);
        EXPECT_LT(difference.outputs, 1e-5) << "draw " << draw << ", step " << step;
        EXPECT_LT(difference.gradients, 1e-5) << "draw " << draw << ", step " << step;
      }
    }
  }
}

TEST_F(ExecuteGpu, CpuAndGpuWorkTogether) {
  const Program program = ReadScript(Model(), "mixed_model");
  const ExecutorOptions how{.train = true, .learning_rate = 0.01, .keep_results = true};
  Executor single(program, SingleLayout(program, 1), {ParseDevice("cpu:0")}, how);
  const StepResult expected = single.Step();
  Executor mixed(program, RandomLayout(program, 2, {0, 1, 1, 0, 1}),
                 {ParseDevice("cpu:0"), ParseDevice("cuda:0")}, how);
  const StepResult result = mixed.Step();
  const Difference difference =
      Compare(result.outputs, result.gradients, expected.outputs, expected.gradients);
  EXPECT_LT(difference.outputs, 1e-5);
  EXPECT_LT(difference.gradients, 1e-5);
}

// The allocator hands freed memory out again at once, so a source that is not kept alive until its
// copy is done shows as a wrong sum.
TEST_F(ExecuteGpu, NothingIsReusedWhileItIsOnItsWay) {
  Script script{.source = "def forward(self, x):\n", .inputs = {"512x2048"}};
  for (int k = 0; k < 40; ++k) script.source += fmt::format("  x = torch.add(x, {})\n", k % 3);
  script.source += "  return x\n";
  const Program program = ReadScript(script, "reuse");
  Layout layout;
  layout.order.resize(2);
  for (int32_t i = 0; i < program.size(); ++i) {
    layout.device.push_back(i % 2);
    layout.order[i % 2].push_back(i);
  }
  const ExecutorOptions how{.keep_results = true};
  Executor placed(program, layout, Parts(2), how);
  Executor single(program, SingleLayout(program, 1), {ParseDevice("cpu:0")}, how);
  const StepResult expected = single.Step();
  for (int step = 0; step < 20; ++step)
    EXPECT_TRUE(Compare(placed.Step().outputs, {}, expected.outputs, {}).same_bits) << step;
}

TEST_F(ExecuteGpu, APartThatIsTooSmallIsAResourceError) {
  const Program program = ReadScript(Model(), "small_part");
  std::vector<DeviceSpec> devices = Parts(2);
  devices[1].limit = 20'000;
  EXPECT_THROW(Executor(program, RandomLayout(program, 2, {1}), devices, {}).Step(), ResourceError);
}

TEST_F(ExecuteGpu, ProfilingAndCalibratingGiveTimesAndLinks) {
  const Program program = ReadScript(Model(), "profiled");
  const Costs costs = Profile(program, ParseDevice("cuda:0"), {.rounds = 5, .warmup = 2});
  for (int32_t i = program.inputs(); i < program.size(); ++i) EXPECT_GT(costs.us[i], 0);
  const Calibration calibration =
      Calibrate({.devices = {"cuda:0/0", "cuda:0/1"}, .largest = 16 << 20, .rounds = 5});
  ASSERT_EQ(calibration.links.size(), 2u);
  EXPECT_GT(calibration.links[0].fit.us_per_byte, 0);
  EXPECT_GT(calibration.cluster.devices[0].memory, 0);
}

}  // namespace
}  // namespace orchard::execute
