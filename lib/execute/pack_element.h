// What packing copies at one place: shared by the CUDA kernel and its CPU twin.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/host_device.h"

namespace orchard::execute {

// A tensor and where it lies in the buffer.
struct PackItem {
  void* tensor = nullptr;
  int64_t bytes = 0;
  int64_t offset = 0;  // a multiple of kPackAlignment
};

inline constexpr int64_t kPackAlignment = 256;  // so that unpacked tensors can be read in vectors

// Copies word `i` of 16 bytes, or what is left of it at the end: into the buffer, or out of it.
// `aligned`: the tensor's address is a multiple of 16.
ORCHARD_HD void CopyWord(const PackItem& item, void* buffer, int64_t i, bool unpack, bool aligned) {
  struct alignas(16) Word {
    uint64_t half[2];
  };
  auto* tensor = static_cast<unsigned char*>(item.tensor) + 16 * i;
  auto* packed = static_cast<unsigned char*>(buffer) + item.offset + 16 * i;
  const unsigned char* from = unpack ? packed : tensor;
  unsigned char* to = unpack ? tensor : packed;
  if (aligned && 16 * i + 16 <= item.bytes) {
    *reinterpret_cast<Word*>(to) = *reinterpret_cast<const Word*>(from);
    return;
  }
  for (int64_t k = 16 * i; k < item.bytes && k < 16 * i + 16; ++k) {
    *to = *from;
    ++to;
    ++from;
  }
}

}  // namespace orchard::execute
