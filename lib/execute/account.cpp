#include "execute/account.h"

#include <c10/core/CPUAllocator.h>
#include <fmt/format.h>

#include <mutex>

#include "base/error.h"
#include "base/number_format.h"

namespace orchard::execute {
namespace {

thread_local std::shared_ptr<Account> current;

// What one allocation owns.
struct Charged {
  Charged(std::shared_ptr<Account> to, int64_t size) : account(std::move(to)), bytes(size) {
    account->Charge(bytes);
  }
  ~Charged() { account->Credit(bytes); }
  Charged(const Charged&) = delete;
  Charged& operator=(const Charged&) = delete;
  std::shared_ptr<Account> account;
  int64_t bytes;
  c10::DataPtr memory;
};

class CountingAllocator final : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* inner) : inner_(inner) {}

  c10::DataPtr allocate(size_t bytes) override {
    if (!current || bytes == 0) return inner_->allocate(bytes);
    auto charged = std::make_unique<Charged>(current, static_cast<int64_t>(bytes));
    charged->memory = inner_->allocate(bytes);
    void* address = charged->memory.get();
    return {address, charged.release(),
            [](void* context) { delete static_cast<Charged*>(context); }, c10::Device(c10::kCPU)};
  }
  void copy_data(void* dest, const void* src, std::size_t count) const override {
    default_copy_data(dest, src, count);
  }

 private:
  c10::Allocator* inner_;
};

void Install() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Never destroyed: tensors may outlive everything.
    c10::SetCPUAllocator(new CountingAllocator(c10::GetCPUAllocator()), /*priority=*/1);
  });
}

}  // namespace

void Account::Charge(int64_t bytes) {
  const int64_t used = used_ += bytes;
  if (used > limit_) {
    used_ -= bytes;
    throw ResourceError(fmt::format(
        "the memory of {} does not suffice: {} of {} are taken, and {} more are needed", name_,
        FormatBytes(static_cast<uint64_t>(used - bytes)),
        FormatBytes(static_cast<uint64_t>(limit_)), FormatBytes(static_cast<uint64_t>(bytes))));
  }
  int64_t peak = peak_;
  while (used > peak && !peak_.compare_exchange_weak(peak, used)) {
  }
}

ChargeTo::ChargeTo(std::shared_ptr<Account> account) : before_(std::move(current)) {
  Install();
  current = std::move(account);
}

ChargeTo::~ChargeTo() { current = std::move(before_); }

}  // namespace orchard::execute
