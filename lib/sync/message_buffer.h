// Room for a message, in memory that a device names. Values are not set: setting them would bring
// managed memory to the host.
#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <span>

namespace orchard::sync {

template <class T>
class MessageBuffer {
 public:
  //   memory  outlives the buffer
  explicit MessageBuffer(std::pmr::memory_resource* memory) : memory_(memory) {}

  // What it held is lost.
  void Resize(size_t count) {
    data_.reset();
    size_ = count;
    if (count == 0) return;
    const size_t bytes = count * sizeof(T);
    data_ = {static_cast<T*>(memory_->allocate(bytes, kAlignment)), Free{memory_, bytes}};
  }
  T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<T> span() const { return {data_.get(), size_}; }

 private:
  static constexpr size_t kAlignment = 64;
  struct Free {
    std::pmr::memory_resource* memory = nullptr;
    size_t bytes = 0;
    void operator()(T* p) const { memory->deallocate(p, bytes, kAlignment); }
  };

  std::pmr::memory_resource* memory_;
  size_t size_ = 0;
  std::unique_ptr<T, Free> data_;
};

}  // namespace orchard::sync
