// What the collectives compute, on simulated ranks, against a serial loop over the ranks.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"
#include "comm/simulated.h"
#include "comm/traffic.h"
#include "unit/comm/inputs.h"

namespace orchard::comm {
namespace {

template <class T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
std::vector<T> SerialSum(uint64_t seed, int ranks, int64_t count) {
  std::vector<T> sum = Elements<T>(seed, 0, count);
  for (int r = 1; r < ranks; ++r) {
    for (int64_t i = 0; i < count; ++i) sum[i] += Element<T>(seed, r, i);
  }
  return sum;
}

RC_GTEST_PROP(AllReduce, IsTheSerialSumInRankOrderBitForBit, ()) {
  const int ranks = *rc::gen::inRange(1, 9);
  const int64_t count = *rc::gen::inRange<int64_t>(0, 5000);
  const auto seed = *rc::gen::arbitrary<uint64_t>();
  const EngineOptions options{.segment_bytes = *rc::gen::element<int64_t>(1, 64, 4096, 1 << 20)};
  const std::vector<float> expected = SerialSum<float>(seed, ranks, count);
  const std::vector<double> expected64 = SerialSum<double>(seed, ranks, count);
  RunSimulated(
      ranks,
      [&](Communicator& c) {
        std::vector<float> x = Elements<float>(seed, c.rank(), count);
        std::vector<double> y = Elements<double>(seed, c.rank(), count);
        c.AllReduce(std::span(x));
        c.AllReduce(std::span(y));
        RC_ASSERT(SameBits(x, expected));
        RC_ASSERT(SameBits(y, expected64));
      },
      options);
}

RC_GTEST_PROP(ReduceScatter, ThenAllGatherIsAllReduce, ()) {
  const int ranks = *rc::gen::inRange(1, 9);
  const int64_t count = *rc::gen::inRange<int64_t>(0, 700);
  const auto seed = *rc::gen::arbitrary<uint64_t>();
  const std::vector<float> expected = SerialSum<float>(seed, ranks, count);
  RunSimulated(ranks, [&](Communicator& c) {
    const std::vector<float> x = Elements<float>(seed, c.rank(), count);
    std::vector<float> chunk(ChunkOf(count, c.size(), c.rank()).size()), whole(count);
    c.ReduceScatter(std::span(x), std::span(chunk));
    c.AllGather(std::span(chunk), std::span(whole));
    RC_ASSERT(SameBits(whole, expected));
  });
}

TEST(ReduceScatter, WorksInPlaceOnTheOwnChunk) {
  RunSimulated(3, [&](Communicator& c) {
    std::vector<float> x = Elements<float>(4, c.rank(), 10);
    const Range own = ChunkOf(10, 3, c.rank());
    c.ReduceScatter(std::span(x), std::span(x).subspan(own.begin, own.size()));
    const std::vector<float> expected = SerialSum<float>(4, 3, 10);
    for (int64_t i = 0; i < 10; ++i) {
      const bool mine = i >= own.begin && i < own.end;
      EXPECT_EQ(x[i], mine ? expected[i] : Element<float>(4, c.rank(), i));
    }
  });
}

TEST(ReduceScatter, WidensInt8ToFloat) {
  RunSimulated(4, [](Communicator& c) {
    const std::vector<int8_t> x(8, 120);
    std::vector<float> sum(2);
    c.ReduceScatter(std::span(x), std::span(sum));
    EXPECT_EQ(sum, (std::vector<float>{480, 480}));
  });
}

TEST(AllGather, TakesADifferentCountFromEveryRank) {
  RunSimulated(4, [](Communicator& c) {
    const std::vector<int64_t> counts = {3, 0, 1, 2};
    const std::vector<int8_t> mine(counts[c.rank()], static_cast<int8_t>(c.rank()));
    std::vector<int8_t> all(6);
    c.AllGather(std::span(mine), std::span(all), counts);
    EXPECT_EQ(all, (std::vector<int8_t>{0, 0, 0, 2, 3, 3}));
  });
}

TEST(Broadcast, GivesEveryRankTheRootsBytes) {
  RunSimulated(5, [](Communicator& c) {
    std::string text = c.rank() == 3 ? "hello" : ".....";
    c.Broadcast(std::as_writable_bytes(std::span(text)), 3);
    EXPECT_EQ(text, "hello");
  });
}

TEST(Handle, LetsSeveralCollectivesFlyAtOnce) {
  RunSimulated(4, [](Communicator& c) {
    std::vector<float> a = Elements<float>(1, c.rank(), 100), b = Elements<float>(2, c.rank(), 50);
    Handle first = c.AllReduceAsync(std::span(a));
    Handle second = c.AllReduceAsync(std::span(b));
    second.Wait();
    first.Wait();
    first.Wait();
    EXPECT_TRUE(SameBits(a, SerialSum<float>(1, 4, 100)));
    EXPECT_TRUE(SameBits(b, SerialSum<float>(2, 4, 50)));
  });
}

TEST(Split, MakesCommunicatorsByColor) {
  RunSimulated(6, [](Communicator& c) {
    const auto half = c.Split(c.rank() % 2);
    EXPECT_EQ(half->size(), 3);
    EXPECT_EQ(half->rank(), c.rank() / 2);
    std::vector<float> x = {static_cast<float>(c.rank())};
    half->AllReduce(std::span(x));
    EXPECT_EQ(x[0], c.rank() % 2 == 0 ? 0 + 2 + 4 : 1 + 3 + 5);
  });
}

TEST(HierarchicalAllReduce, SumsWithinNodesThenAcrossThem) {
  constexpr int64_t kCount = 37;
  RunSimulated(6, [](Communicator& c) {
    const auto node = c.Split(c.rank() / 3), across = c.Split(c.rank() % 3);
    std::vector<float> x = Elements<float>(9, c.rank(), kCount);
    HierarchicalAllReduce(*node, *across, std::span(x));
    for (int64_t i = 0; i < kCount; ++i) {
      const auto e = [&](int rank) { return Element<float>(9, rank, i); };
      EXPECT_EQ(x[i], ((e(0) + e(1)) + e(2)) + ((e(3) + e(4)) + e(5)));
    }
  });
}

TEST(OneProcess, LeavesBuffersAsTheyAre) {
  const auto c = OneProcess();
  std::vector<float> x = {1, 2, 3};
  std::vector<float> y(3);
  c->AllReduce(std::span(x));
  c->ReduceScatter(std::span(x), std::span(y));
  EXPECT_EQ(y, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(c->traffic(), (Traffic{.calls = 2}));
}

RC_GTEST_PROP(Traffic, OfAnAllReduceIsThatOfARing, ()) {
  const int ranks = *rc::gen::inRange(1, 9);
  const int64_t per_rank = *rc::gen::inRange<int64_t>(0, 100);
  const int64_t bytes = per_rank * ranks * 4;
  RunSimulated(ranks, [&](Communicator& c) {
    std::vector<float> x(per_rank * ranks);
    c.AllReduce(std::span(x));
    const int64_t ring = 2 * (ranks - 1) * bytes / ranks;
    RC_ASSERT(c.traffic(Operation::kAllReduce) ==
              (Traffic{.calls = 1, .sent = ring, .received = ring}));
  });
}

RC_GTEST_PROP(Traffic, SentByAllIsReceivedByAll, ()) {
  const int ranks = *rc::gen::inRange(1, 9);
  const int64_t count = *rc::gen::inRange<int64_t>(0, 300);
  int64_t sent = 0, received = 0;
  RunSimulated(ranks,
               [&](Communicator& c) {
                 std::vector<float> x(count), chunk(ChunkOf(count, ranks, c.rank()).size());
                 c.AllReduce(std::span(x));
                 c.ReduceScatter(std::span(x), std::span(chunk));
                 c.AllGather(std::span(chunk), std::span(x));
                 sent += c.traffic().sent;
                 received += c.traffic().received;
               },
               {.segment_bytes = 100});
  RC_ASSERT(sent == received);
}

TEST(Communicator, RefusesBuffersThatDoNotFit) {
  const auto c = OneProcess();
  std::vector<float> x(4), y(3);
  EXPECT_THROW(c->ReduceScatter(std::span(x), std::span(y)), Error);
  EXPECT_THROW(c->AllGather(std::span(x), std::span(y)), Error);
  EXPECT_THROW(c->Broadcast(std::span(x), 1), Error);
  EXPECT_THROW(c->AllReduce(std::as_writable_bytes(std::span(x))), Error);
}

// One frame of 48 + 100 bytes and its headers; two full frames; many. A quarter of the headers that
// come is sent as acknowledgements.
TEST(EthernetBytes, AreHeadersPerMessagePerFrameAndAcknowledgements) {
  EXPECT_EQ(EthernetBytes(400, 400, 4), 400 + 4 * (48 + 66) + 66);
  EXPECT_EQ(EthernetBytes(4 * (2 * 1448 - 48), 400, 4), 4 * (2 * 1448 + 2 * 66) + 66);
  EXPECT_EQ(EthernetBytes(4 * (2 * 1448 - 47), 400, 4), 4 * (2 * 1448 + 1 + 3 * 66) + 66);
  EXPECT_EQ(EthernetBytes(0, 0, 0), 0);
  EXPECT_NEAR(static_cast<double>(EthernetBytes(1 << 30, 1 << 30, 1)) / (1 << 30),
              (1514 + 66 / 4.0) / 1448, 1e-5);
}

TEST(EthernetBytes, OfACommunicatorAreThoseOfItsMessages) {
  RunSimulated(4, [](Communicator& c) {
    std::vector<float> buffer(1000);
    c.AllReduce(std::span<float>(buffer));
    c.AllReduce(std::span<float>(buffer));
    c.Barrier();
    // Twice three messages of a quarter each, per all-reduce.
    EXPECT_EQ(EthernetBytes(c), EthernetBytes(12000, 12000, 12));
  });
}

}  // namespace
}  // namespace orchard::comm
