// Algorithms with their arenas on the device: the bits of the CPU, for every algorithm and wire.
#include <gtest/gtest.h>

#include "comm/device_ranks.h"
#include "gpu/device_array.h"
#include "sync/timed_communicator.h"
#include "unit/sync/device_run.h"

namespace orchard::sync {
namespace {

using SyncDevice = gpu::DeviceTest;

TEST_F(SyncDevice, EveryAlgorithmHasTheBitsOfTheCpu) {
  const auto device = Device::Cuda(0);
  for (const auto& [name, run] : DeviceRuns()) {
    comm::RunSimulated(2, [&, &run = run, &name = name](comm::Communicator& ranks) {
      device->Enter();
      const std::vector<float> expected = RunOn(Device::Cpu(), run, ranks);
      EXPECT_EQ(RunOn(*device, run, ranks), expected) << name;
    });
  }
}

// Ranks that share a GPU: messages in the device's memory, by way of pinned host memory.
TEST_F(SyncDevice, MessagesOfTheDeviceHaveTheBitsOfTheCpu) {
  const auto device = Device::Cuda(0);
  const ArenaLayout layout = SmallLayout();
  for (const auto& [name, run] : DeviceRuns()) {
    const auto made = MakeAlgorithm<float>(run.algorithm, run.compress, layout, 3, {}, *device);
    if (!made->CanSendFromDevice()) continue;
    comm::RunSimulated(2, [&, &run = run, &name = name](comm::Communicator& ranks) {
      device->Enter();
      const std::vector<float> expected = RunOn(Device::Cpu(), run, ranks);
      const auto staged = comm::OpenDeviceRanks(ranks, 0, nullptr);
      ASSERT_NE(staged->engine(), "NCCL");
      TimedCommunicator link(*staged);
      DeviceRun linked = run;
      linked.link = &link;
      EXPECT_EQ(RunOn(*device, linked, ranks), expected) << name;
    });
  }
}

TEST_F(SyncDevice, DriftIsThatOfTheCpu) {
  const auto device = Device::Cuda(0);
  std::vector<float> values(100'003), mean(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(Number(1, static_cast<int64_t>(i)));
    mean[i] = static_cast<float>(Number(2, static_cast<int64_t>(i)));
  }
  values[7] = INFINITY;
  const auto count = static_cast<int64_t>(values.size());
  const DriftSums cpu = SumDrift(Device::Cpu(), count, values.data(), mean.data());
  const DriftSums gpu = SumDrift(*device, count, values.data(), mean.data());
  EXPECT_NEAR(gpu.apart, cpu.apart, 1e-10 * cpu.apart);
  EXPECT_NEAR(gpu.norm, cpu.norm, 1e-10 * cpu.norm);
  EXPECT_EQ(gpu.not_finite, 1);
}

}  // namespace
}  // namespace orchard::sync
