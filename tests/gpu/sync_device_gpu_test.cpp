// Algorithms with their arenas on the device: the bits of the CPU, for every algorithm and wire.
// NCCL beside the kernels' stream, as far as one GPU goes.
#include <gtest/gtest.h>

#include "comm/device_ranks.h"
#include "comm/nccl_communicator.h"
#include "gpu/device_array.h"
#include "nn/device.h"
#include "sync/timed_communicator.h"
#include "unit/sync/device_run.h"

namespace orchard::sync {
namespace {

class SyncDevice : public gpu::DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    nn::LoadCudaBackend();  // and with it NCCL
  }
};

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

TEST_F(SyncDevice, NcclBesideTheKernelsHasTheBitsOfTheCpu) {
  if (!comm::HaveNccl()) GTEST_SKIP() << "NCCL cannot be loaded";
  const auto device = Device::Cuda(0);
  const auto one = comm::OneProcess();
  const auto nccl = comm::OpenNcclBeside(*one, 0, nullptr);
  ASSERT_NE(nccl, nullptr);
  EXPECT_EQ(nccl->engine(), "NCCL");
  const ArenaLayout layout = SmallLayout();
  for (const auto& [name, run] : DeviceRuns()) {
    const auto made = MakeAlgorithm<float>(run.algorithm, run.compress, layout, 3, {}, *device);
    if (!made->CanSendFromDevice()) continue;
    const std::vector<float> expected = RunOn(Device::Cpu(), run, *one);
    DeviceRun linked = run;
    linked.link = nccl.get();
    EXPECT_EQ(RunOn(*device, linked, *one), expected) << name;
  }
  EXPECT_GT(nccl->traffic(comm::Operation::kAllReduce).calls, 0);
}

// A collective begins behind what was enqueued before it and is over for what comes after it: a
// long chain of copies on the default stream, with sums in between.
TEST_F(SyncDevice, NcclKeepsTheOrderOfTheCallersStream) {
  if (!comm::HaveNccl()) GTEST_SKIP() << "NCCL cannot be loaded";
  constexpr int64_t kCount = 1 << 24;
  const auto one = comm::OneProcess();
  const auto nccl = comm::OpenNcclBeside(*one, 0, nullptr);
  ASSERT_NE(nccl, nullptr);
  std::vector<float> values(kCount);
  for (int64_t i = 0; i < kCount; ++i) values[i] = static_cast<float>(i % 1000);
  const gpu::DeviceArray<float> first(values), second(kCount);
  for (int n = 0; n < 20; ++n) {
    gpu::CheckCuda(cudaMemsetAsync(second.data(), 0, second.Bytes()), "cudaMemsetAsync");
    gpu::CheckCuda(
        cudaMemcpyAsync(second.data(), first.data(), first.Bytes(), cudaMemcpyDeviceToDevice),
        "cudaMemcpyAsync");
    comm::Handle sum = nccl->AllReduceAsync(comm::Buffer(second.data(), kCount, io::DType::kF32));
    sum.Wait();
    gpu::CheckCuda(cudaMemsetAsync(first.data(), 0, first.Bytes()), "cudaMemsetAsync");
    gpu::CheckCuda(
        cudaMemcpyAsync(first.data(), second.data(), first.Bytes(), cudaMemcpyDeviceToDevice),
        "cudaMemcpyAsync");
  }
  nccl->Synchronize();
  EXPECT_EQ(first.Host(), values);
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
