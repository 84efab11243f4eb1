#include "execute/account.h"

#include <c10/core/CPUAllocator.h>
#include <fmt/format.h>

#include <cstddef>
#include <mutex>
#include <new>

#include "base/error.h"
#include "base/number_format.h"

namespace orchard::execute {
namespace {

thread_local std::shared_ptr<Account> current;

// Stands before the memory that is handed out, since LibTorch's raw_allocate wants the address of
// the memory to be all that freeing needs.
struct Header {
  void* base;  // of the inner allocation
  void (*free_base)(void*);
  int64_t bytes;
  std::shared_ptr<Account> account;  // may be null
};
constexpr size_t kHeader = 64;  // LibTorch aligns CPU memory to 64 bytes
static_assert(sizeof(Header) <= kHeader);

Header* HeaderOf(void* memory) {
  return reinterpret_cast<Header*>(static_cast<std::byte*>(memory) - kHeader);
}

void Free(void* memory) {
  if (memory == nullptr) return;
  Header* header = HeaderOf(memory);
  if (header->account) header->account->Credit(header->bytes);
  void* base = header->base;
  const auto free_base = header->free_base;
  header->~Header();
  free_base(base);
}

class CountingAllocator final : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* inner) : inner_(inner) {}

  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device cpu(c10::kCPU);
    if (bytes == 0) return {nullptr, nullptr, &Free, cpu};
    if (current) current->Charge(static_cast<int64_t>(bytes));
    void* base = nullptr;
    try {
      base = inner_->raw_allocate(bytes + kHeader);
    } catch (...) {
      if (current) current->Credit(static_cast<int64_t>(bytes));
      throw;
    }
    new (base) Header{base, inner_->raw_deleter(), static_cast<int64_t>(bytes), current};
    void* memory = static_cast<std::byte*>(base) + kHeader;
    return {memory, memory, &Free, cpu};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &Free; }
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
