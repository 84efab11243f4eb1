#include "base/semaphore.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace orchard {
namespace {

TEST(Semaphore, LetsSoManyInAndNobodySleepsForever) {
  constexpr int kThreads = 8, kTurns = 4000, kCount = 3;
  Semaphore semaphore(kCount);
  std::atomic<int> inside = 0, most = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int k = 0; k < kTurns; ++k) {
        semaphore.Acquire();
        const int now = ++inside;
        int seen = most;
        while (seen < now && !most.compare_exchange_weak(seen, now)) {
        }
        --inside;
        semaphore.Release();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(inside, 0);
  EXPECT_GE(most, 1);
  EXPECT_LE(most, kCount);
}

}  // namespace
}  // namespace orchard
