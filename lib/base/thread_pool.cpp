#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace orchard {

int DefaultThreads() {
  if (const char* text = std::getenv("SLURM_CPUS_PER_TASK")) {
    const int count = std::atoi(text);
    if (count > 0) return count;
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable wake, done;
  const std::function<void(int64_t)>* task = nullptr;
  int64_t next = 0, count = 0, running = 0, failed = 0;
  uint64_t round = 0;
  bool stop = false;
  std::exception_ptr error;
  std::vector<std::thread> workers;

  // Takes indices until none is left. `lock` is held on entry and on return.
  void Drain(std::unique_lock<std::mutex>& lock) {
    while (next < count) {
      const int64_t index = next++;
      ++running;
      lock.unlock();
      std::exception_ptr caught;
      try {
        (*task)(index);
      } catch (...) {
        caught = std::current_exception();
      }
      lock.lock();
      --running;
      if (caught) {
        // All before it have begun, too: which failure is told does not depend on who is faster.
        if (!error || index < failed) {
          error = caught;
          failed = index;
        }
        next = count;
      }
    }
  }

  void Work() {
    std::unique_lock lock(mutex);
    uint64_t seen = 0;
    while (true) {
      wake.wait(lock, [&] { return stop || round != seen; });
      if (stop) return;
      seen = round;
      Drain(lock);
      if (running == 0) done.notify_all();
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  for (int i = 1; i < threads; ++i) state_->workers.emplace_back([s = state_.get()] { s->Work(); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->wake.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::ForEach(int64_t count, const std::function<void(int64_t)>& task) {
  std::unique_lock lock(state_->mutex);
  state_->task = &task;
  state_->next = 0;
  state_->count = count;
  state_->error = nullptr;
  ++state_->round;
  state_->wake.notify_all();
  state_->Drain(lock);
  state_->done.wait(lock, [&] { return state_->running == 0; });
  state_->task = nullptr;
  if (state_->error) std::rethrow_exception(state_->error);
}

}  // namespace orchard
