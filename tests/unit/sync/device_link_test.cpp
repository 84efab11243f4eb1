// Messages that go by a communicator of their own, as those on a GPU do.
#include <gtest/gtest.h>

#include <optional>

#include "unit/sync/device_run.h"

namespace orchard::sync {
namespace {

// Counts, and makes sure that nobody uses what was not waited for: sums appear in Wait only, and
// are promised in Synchronize.
class Link : public comm::StreamCommunicator {
 public:
  explicit Link(comm::Communicator& ranks)
      : StreamCommunicator(ranks.rank(), ranks.size()), ranks_(ranks) {}
  std::string_view engine() const override { return "link"; }
  std::unique_ptr<Communicator> Split(int color) override { return ranks_.Split(color); }
  void Synchronize() override { waited_ = 0; }
  int64_t sums() const { return sums_; }
  int64_t waited() const { return waited_; }  // for, since the last Synchronize

 protected:
  comm::Handle Start(comm::Collective call) override {
    EXPECT_EQ(call.operation, comm::Operation::kAllReduce);
    ++sums_;
    auto sum =
        std::make_shared<std::vector<std::byte>>(call.in.data, call.in.data + call.in.bytes());
    auto handle = std::make_shared<comm::Handle>(
        ranks_.AllReduceAsync(comm::Buffer(sum->data(), call.in.count, call.in.dtype)));
    return comm::Handle([this, sum, handle, call] {
      handle->Wait();
      std::copy(sum->begin(), sum->end(), call.out.data);
      ++waited_;
    });
  }

 private:
  comm::Communicator& ranks_;
  int64_t sums_ = 0, waited_ = 0;
};

TEST(SendFromDevice, LeavesEveryBitOfAFusedAlgorithmAsItIs) {
  for (auto [name, run] : DeviceRuns()) {
    if (run.compress.wire != WireFormat::kFull) continue;
    const ArenaLayout layout = SmallLayout();
    if (!MakeAlgorithm<float>(run.algorithm, run.compress, layout, 3)->Streams()) continue;
    comm::RunSimulated(3, [&, run = run, name = name](comm::Communicator& ranks) {
      const std::vector<float> expected = RunOn(Device::Cpu(), run, ranks);
      Link link(ranks);
      DeviceRun linked = run;
      linked.link = &link;
      const comm::Traffic before = ranks.traffic();
      EXPECT_EQ(RunOn(Device::Cpu(), linked, ranks), expected) << name;
      EXPECT_GT(link.sums(), 0) << name;
      EXPECT_EQ(link.waited(), 0) << name << ": a mean was used before it was known to be there";
      // Everything went by the link.
      EXPECT_EQ(ranks.traffic().calls - before.calls, link.sums()) << name;
    });
  }
}

TEST(SendFromDevice, IsOfferedOnlyToTheDevicesOwnMessages) {
  const ArenaLayout layout = SmallLayout();
  for (const auto& [name, run] : DeviceRuns()) {
    const auto on_host = MakeAlgorithm<float>(run.algorithm, run.compress, layout, 3);
    EXPECT_FALSE(on_host->CanSendFromDevice()) << name;
  }
}

}  // namespace
}  // namespace orchard::sync
