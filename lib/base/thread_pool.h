// A fixed set of worker threads. Work is handed out by index; results must not depend on which
// thread takes which index.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace orchard {

// Threads a program uses unless told: SLURM_CPUS_PER_TASK when set, else the CPUs this process may
// run on.
int DefaultThreads();

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // threads >= 1; the caller is one of them
  ~ThreadPool();
  int threads() const;

  // Calls task(i) for every i in [0, count) and returns when all are done. The first exception is
  // rethrown here, and tasks not yet begun are dropped. Not reentrant.
  void ForEach(int64_t count, const std::function<void(int64_t)>& task);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard
