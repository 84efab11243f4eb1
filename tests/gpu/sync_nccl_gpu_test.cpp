// NCCL beside the kernels' stream, as far as one GPU goes: one rank.
#include <gtest/gtest.h>

#include "comm/device_ranks.h"
#include "comm/nccl_communicator.h"
#include "gpu/device_array.h"
#include "nn/device.h"
#include "unit/sync/device_run.h"

namespace orchard::sync {
namespace {

class SyncNccl : public gpu::DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    nn::LoadCudaBackend();  // and with it NCCL
    if (!comm::HaveNccl()) GTEST_SKIP() << "NCCL cannot be loaded";
  }
};

TEST_F(SyncNccl, BesideTheKernelsHasTheBitsOfTheCpu) {
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
TEST_F(SyncNccl, KeepsTheOrderOfTheCallersStream) {
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

}  // namespace
}  // namespace orchard::sync
