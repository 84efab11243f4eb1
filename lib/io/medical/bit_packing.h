// One-bit pixels as DICOM stores them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace orchard::io {

// Bits in a row, lowest bit of each byte first; a frame begins where the one before ended, which is
// inside a byte when its size is no multiple of 8 (PS3.5, 8.2 and D).
class BitPacker {
 public:
  void Reserve(uint64_t bits) { bytes_.reserve((bits + 7) / 8 + 1); }
  void Push(bool bit) {
    if (count_ % 8 == 0) bytes_.push_back(0);
    if (bit) bytes_.back() = static_cast<uint8_t>(bytes_.back() | 1u << count_ % 8);
    ++count_;
  }
  uint64_t bits() const { return count_; }
  // The bytes, padded to an even number.
  std::vector<uint8_t> Take() && {
    if (bytes_.size() % 2) bytes_.push_back(0);
    return std::move(bytes_);
  }

 private:
  std::vector<uint8_t> bytes_;
  uint64_t count_ = 0;
};

inline bool BitAt(std::span<const uint8_t> bytes, uint64_t index) {
  return bytes[index / 8] >> index % 8 & 1;
}

}  // namespace orchard::io
