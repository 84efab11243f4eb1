// Collectives on memory that the engine must not touch, by way of host memory.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

#include "comm/simulated.h"
#include "comm/staged_communicator.h"

namespace orchard::comm {
namespace {

// Stands for a device: its memory holds every byte inverted, so that whoever reads it without a
// copy reads nonsense.
void Invert(void* to, const void* from, int64_t bytes) {
  const auto* const source = static_cast<const unsigned char*>(from);
  for (int64_t i = 0; i < bytes; ++i)
    static_cast<unsigned char*>(to)[i] = static_cast<unsigned char>(~source[i]);
}

class InvertedStage : public HostStage {
 public:
  explicit InvertedStage(int& allocations) : allocations_(allocations) {}
  void* Allocate(int64_t bytes) override {
    ++allocations_;
    return std::malloc(static_cast<size_t>(bytes));
  }
  void Free(void* host) override { std::free(host); }
  void ToHost(void* host, const void* device, int64_t bytes) override {
    Invert(host, device, bytes);
  }
  void ToDevice(void* device, const void* host, int64_t bytes) override {
    Invert(device, host, bytes);
  }

 private:
  int& allocations_;
};

class DeviceFloats {
 public:
  explicit DeviceFloats(const std::vector<float>& values) : stored_(values.size()) {
    Invert(stored_.data(), values.data(), std::ssize(values) * 4);
  }
  std::vector<float> Host() const {
    std::vector<float> values(stored_.size());
    Invert(values.data(), stored_.data(), std::ssize(values) * 4);
    return values;
  }
  std::span<float> span() { return stored_; }

 private:
  std::vector<float> stored_;
};

std::vector<float> Ramp(int64_t count, int rank) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = 0.1f * static_cast<float>(i) + static_cast<float>(rank);
  return values;
}

// Runs `body(plain, staged)` on three ranks, each with both kinds of communicator.
template <class Body>
void OnThreeRanks(Body&& body) {
  RunSimulated(3, [&](Communicator& ranks) {
    int allocations = 0;
    const auto staged = StageThroughHost(ranks, std::make_shared<InvertedStage>(allocations));
    body(ranks, *staged);
    EXPECT_GT(allocations, 0);
  });
}

TEST(StagedCommunicator, ReducesAsItsEngineDoes) {
  OnThreeRanks([](Communicator& plain, Communicator& staged) {
    std::vector<float> expected = Ramp(1001, plain.rank());
    DeviceFloats values(expected);
    plain.AllReduce(std::span<float>(expected));
    staged.AllReduce(values.span());
    EXPECT_EQ(values.Host(), expected);
  });
}

TEST(StagedCommunicator, WritesAnAsynchronousSumInWait) {
  OnThreeRanks([](Communicator& plain, Communicator& staged) {
    std::vector<float> expected = Ramp(50, plain.rank());
    const std::vector<float> before = expected;
    DeviceFloats values(expected);
    plain.AllReduce(std::span<float>(expected));
    Handle handle = staged.AllReduceAsync(values.span());
    EXPECT_EQ(values.Host(), before);
    handle.Wait();
    EXPECT_EQ(values.Host(), expected);
  });
}

TEST(StagedCommunicator, ScattersGathersAndBroadcasts) {
  OnThreeRanks([](Communicator& plain, Communicator& staged) {
    const std::vector<float> own = Ramp(32, plain.rank());
    const auto chunk = static_cast<size_t>(ChunkOf(32, 3, plain.rank()).size());
    std::vector<float> part(chunk), all(32), root = own;
    DeviceFloats in(own), part_there(part), all_there(all), root_there(own);
    plain.ReduceScatter(std::span<const float>(own), std::span<float>(part));
    staged.ReduceScatter(std::span<const float>(in.span()), part_there.span());
    EXPECT_EQ(part_there.Host(), part);
    plain.AllGather(std::span<const float>(part), std::span<float>(all));
    staged.AllGather(std::span<const float>(part_there.span()), all_there.span());
    EXPECT_EQ(all_there.Host(), all);
    plain.Broadcast(std::span<float>(root), 1);
    staged.Broadcast(root_there.span(), 1);
    EXPECT_EQ(root_there.Host(), root);
  });
}

TEST(StagedCommunicator, SplitsLikeItsEngine) {
  OnThreeRanks([](Communicator& plain, Communicator& staged) {
    const auto part = plain.Split(plain.rank() % 2);
    const auto staged_part = staged.Split(plain.rank() % 2);
    ASSERT_EQ(staged_part->size(), part->size());
    std::vector<float> expected = Ramp(7, plain.rank());
    DeviceFloats values(expected);
    part->AllReduce(std::span<float>(expected));
    staged_part->AllReduce(values.span());
    EXPECT_EQ(values.Host(), expected);
  });
}

TEST(StagedCommunicator, KeepsItsMemoryAndCountsTheBytes) {
  RunSimulated(2, [](Communicator& ranks) {
    int allocations = 0;
    const auto staged = StageThroughHost(ranks, std::make_shared<InvertedStage>(allocations));
    DeviceFloats values(Ramp(100, ranks.rank()));
    staged->AllReduce(values.span());
    const int after_one = allocations;
    for (int n = 0; n < 5; ++n) staged->AllReduce(values.span());
    EXPECT_EQ(allocations, after_one);
    EXPECT_EQ(staged->traffic(Operation::kAllReduce).calls, 6);
    EXPECT_EQ(staged->traffic(Operation::kAllReduce).sent,
              ranks.traffic(Operation::kAllReduce).sent);
  });
}

}  // namespace
}  // namespace orchard::comm
