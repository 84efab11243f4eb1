// How simulated ranks run and fail.
#include "comm/simulated.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/launch.h"

namespace orchard::comm {
namespace {

using testing::HasSubstr;

std::string Message(const std::function<void()>& action) {
  try {
    action();
  } catch (const PeerError& e) {
    return e.what();
  }
  return "no PeerError";
}

TEST(RunSimulated, RunsOneRankAtATimeInTheSameOrder) {
  std::vector<int> order;  // no lock: only the rank that has the baton runs
  std::atomic<int> running = 0;
  RunSimulated(3, [&](Communicator& c) {
    for (int step = 0; step < 3; ++step) {
      EXPECT_EQ(running.fetch_add(1), 0);
      order.push_back(c.rank());
      running.fetch_sub(1);
      c.Barrier();
    }
  });
  ASSERT_EQ(order.size(), 9u);
  // The last to arrive goes on at once, so the order turns; it is the same in every run.
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 2, 0, 1, 1, 2, 0}));
}

TEST(RunSimulated, ThrowsWhatTheFailingRankThrew) {
  EXPECT_THROW(RunSimulated(4,
                            [](Communicator& c) {
                              if (c.rank() == 2) throw DataError("broken shard");
                              c.Barrier();
                            }),
               DataError);
}

TEST(RunSimulated, EndsTheOtherRanksWithPeerError) {
  std::vector<std::string> messages(4);
  EXPECT_THROW(RunSimulated(4,
                            [&](Communicator& c) {
                              c.Barrier();
                              if (c.rank() == 1) throw DivergedError("loss is NaN");
                              messages[c.rank()] = Message([&] { c.Barrier(); });
                            }),
               DivergedError);
  for (int r : {0, 2, 3}) EXPECT_THAT(messages[r], HasSubstr("rank 1 failed: loss is NaN"));
}

TEST(RunSimulated, FindsRanksThatCallDifferentCollectives) {
  EXPECT_THAT(Message([] {
                RunSimulated(3, [](Communicator& c) {
                  std::vector<float> x(c.rank() == 1 ? 5 : 4);
                  c.AllReduce(std::span(x));
                });
              }),
              HasSubstr("rank 0 all-reduce of 4 elements, rank 1 all-reduce of 5 elements"));
}

TEST(RunSimulated, FindsARankThatReturnedTooEarly) {
  EXPECT_THAT(Message([] {
                RunSimulated(3, [](Communicator& c) {
                  if (c.rank() != 2) c.Barrier();
                });
              }),
              HasSubstr("rank 0 waits in barrier"));
}

TEST(RunSimulated, DropsAHandleOfAFailedRankWithoutHanging) {
  EXPECT_THROW(RunSimulated(2,
                            [](Communicator& c) {
                              std::vector<float> x(8);
                              Handle handle = c.AllReduceAsync(std::span(x));
                              if (c.rank() == 0) throw DataError("broken");
                              handle.Wait();
                              c.Barrier();
                            }),
               DataError);
}

TEST(RunRanks, SimulatesWithoutALauncher) {
  if (std::getenv("OMPI_COMM_WORLD_SIZE")) GTEST_SKIP() << "started by mpirun";
  int calls = 0;
  RunRanks({.ranks = 3}, [&](Communicator& c) {
    EXPECT_EQ(c.size(), 3);
    EXPECT_EQ(c.engine(), "simulation");
    ++calls;
  });
  EXPECT_EQ(calls, 3);
  RunRanks({}, [&](Communicator& c) { EXPECT_EQ(c.engine(), "one process"); });
}

}  // namespace
}  // namespace orchard::comm
