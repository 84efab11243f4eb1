// A counting semaphore that always wakes its waiters. libstdc++'s std::counting_semaphore does not:
// a release that finds the counter positive notifies nobody, although a thread that lost the race
// for that count may be about to sleep (GCC bugs 98033 and 104928).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace orchard {

class Semaphore {
 public:
  explicit Semaphore(int64_t count) : count_(count) {}
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  void Acquire() {
    std::unique_lock lock(mutex_);
    positive_.wait(lock, [&] { return count_ > 0; });
    --count_;
  }
  void Release() {
    {
      const std::lock_guard lock(mutex_);
      ++count_;
    }
    positive_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable positive_;
  int64_t count_;
};

}  // namespace orchard
