// Which bytes belong to which device. CPU devices share one heap, so LibTorch's CPU allocator is
// wrapped: what a thread allocates is charged to its account, and credited when it is freed, by
// whichever thread. An allocation beyond the limit throws ResourceError, so that the operator that
// needs it fails as it would on a device of that size.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace orchard::execute {

class Account {
 public:
  Account(std::string name, int64_t limit) : name_(std::move(name)), limit_(limit) {}

  // Throws ResourceError beyond the limit.
  void Charge(int64_t bytes);
  void Credit(int64_t bytes) { used_ -= bytes; }
  int64_t used() const { return used_; }
  int64_t peak() const { return peak_; }
  void ResetPeak() { peak_ = used_.load(); }

 private:
  std::string name_;
  int64_t limit_;
  std::atomic<int64_t> used_ = 0, peak_ = 0;
};

// While it lives, CPU tensors that this thread allocates belong to `account`.
class ChargeTo {
 public:
  explicit ChargeTo(std::shared_ptr<Account> account);
  ~ChargeTo();
  ChargeTo(const ChargeTo&) = delete;
  ChargeTo& operator=(const ChargeTo&) = delete;

 private:
  std::shared_ptr<Account> before_;
};

}  // namespace orchard::execute
