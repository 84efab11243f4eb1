// The flat arena: all trained tensors of a model in one buffer, so that an update is one loop and a
// message one contiguous range.
#pragma once

#include <cstdint>
#include <memory>
#include <memory_resource>
#include <span>
#include <string>
#include <vector>

namespace orchard::sync {

// A tensor before it has a place.
struct TensorShape {
  std::string name;
  std::vector<int64_t> shape;
};

// A tensor's place in the arena: elements [offset, offset + count).
struct Slot {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0, count = 0;
};

// Tensors in the order given, each padded to a multiple of 32 elements. The padding is zero and
// stays zero: it has no gradient.
class ArenaLayout {
 public:
  static constexpr int64_t kPadding = 32;

  // Throws UsageError when there are no elements, or two tensors have one name.
  explicit ArenaLayout(const std::vector<TensorShape>& tensors);

  const std::vector<Slot>& slots() const { return slots_; }
  int64_t size() const { return size_; }          // with padding
  int64_t elements() const { return elements_; }  // without
  std::string Digest() const;                     // of names, shapes and places

 private:
  std::vector<Slot> slots_;
  int64_t size_ = 0, elements_ = 0;
};

// `size` zeros, aligned for any vector unit.
template <class T>
class FlatBuffer {
 public:
  FlatBuffer() = default;
  //   memory  where they lie; it must outlive the buffer
  explicit FlatBuffer(int64_t size,
                      std::pmr::memory_resource& memory = *std::pmr::new_delete_resource())
      : size_(size), data_(Allocate(size, memory), Free{&memory, BytesOf(size)}) {
    for (int64_t i = 0; i < size; ++i) data_.get()[i] = T{};
  }
  T* data() const { return data_.get(); }
  int64_t size() const { return size_; }
  std::span<T> span() const { return {data_.get(), static_cast<size_t>(size_)}; }

 private:
  static constexpr size_t kAlignment = 64;
  static size_t BytesOf(int64_t size) {
    return (static_cast<size_t>(size) * sizeof(T) + kAlignment) & ~(kAlignment - 1);
  }
  static T* Allocate(int64_t size, std::pmr::memory_resource& memory) {
    return static_cast<T*>(memory.allocate(BytesOf(size), kAlignment));
  }
  struct Free {
    std::pmr::memory_resource* memory = nullptr;
    size_t bytes = 0;
    void operator()(T* p) const { memory->deallocate(p, bytes, kAlignment); }
  };

  int64_t size_ = 0;
  std::unique_ptr<T, Free> data_;
};

}  // namespace orchard::sync
