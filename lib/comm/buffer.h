// Typed views of contiguous memory, and how a buffer is cut into one chunk per rank.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/half.h"
#include "io/dtype.h"

namespace orchard::comm {

// Bytes of one element. F64, F32, BF16, F16 and I8 can be summed; U8 (raw bytes) can only be moved.
// Throws Error for any other type.
int64_t ElementSize(io::DType dtype);

// The element type of a C++ type.
template <class T>
struct DTypeOf;
template <io::DType kType>
struct DTypeIs {
  static constexpr io::DType value = kType;
};
template <>
struct DTypeOf<float> : DTypeIs<io::DType::kF32> {};
template <>
struct DTypeOf<double> : DTypeIs<io::DType::kF64> {};
template <>
struct DTypeOf<BFloat16> : DTypeIs<io::DType::kBF16> {};
template <>
struct DTypeOf<Float16> : DTypeIs<io::DType::kF16> {};
template <>
struct DTypeOf<int8_t> : DTypeIs<io::DType::kI8> {};
template <>
struct DTypeOf<std::byte> : DTypeIs<io::DType::kU8> {};

// A view of `count` elements; it owns nothing. Host memory, except for the NCCL engine (device
// memory).
struct Buffer {
  Buffer() = default;
  Buffer(void* memory, int64_t elements, io::DType type)
      : data(static_cast<std::byte*>(memory)), count(elements), dtype(type) {}
  template <class T>  // NOLINTNEXTLINE(google-explicit-constructor): a view of a view
  Buffer(std::span<T> s) : Buffer(s.data(), s.size(), DTypeOf<T>::value) {}
  int64_t bytes() const { return count * ElementSize(dtype); }

  std::byte* data = nullptr;
  int64_t count = 0;
  io::DType dtype = io::DType::kU8;
};

// The same, read only.
struct ConstBuffer {
  ConstBuffer() = default;
  ConstBuffer(const void* memory, int64_t elements, io::DType type)
      : data(static_cast<const std::byte*>(memory)), count(elements), dtype(type) {}
  // NOLINTNEXTLINE(google-explicit-constructor): a view of a view
  ConstBuffer(const Buffer& b) : ConstBuffer(b.data, b.count, b.dtype) {}
  template <class T>  // NOLINTNEXTLINE(google-explicit-constructor)
  ConstBuffer(std::span<T> s)
      : ConstBuffer(s.data(), s.size(), DTypeOf<std::remove_const_t<T>>::value) {}
  int64_t bytes() const { return count * ElementSize(dtype); }

  const std::byte* data = nullptr;
  int64_t count = 0;
  io::DType dtype = io::DType::kU8;
};

// Elements [begin, end).
struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
  bool operator==(const Range&) const = default;
};

// The chunk of `rank` when `count` elements are shared by `size` ranks: contiguous, in rank order,
// and the first count % size chunks have one element more.
Range ChunkOf(int64_t count, int size, int rank);

}  // namespace orchard::comm
