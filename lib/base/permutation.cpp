#include "base/permutation.h"

#include "base/philox.h"

namespace orchard {
namespace {

// Narrower halves have too few round functions to reach all orders of a few things equally often.
constexpr int kMinHalfBits = 3;

}  // namespace

Permutation::Permutation(int64_t count, uint64_t seed, uint64_t purpose, uint64_t epoch)
    : count_(static_cast<uint64_t>(count)), half_bits_(kMinHalfBits) {
  const Philox2 key = PhiloxKey(seed, purpose + 0x9E3779B97F4A7C15ull * epoch);
  key_ = static_cast<uint64_t>(key.word[1]) << 32 | key.word[0];
  while (half_bits_ < 31 && (1ull << (2 * half_bits_)) < count_) ++half_bits_;
}

// Four rounds make a strong pseudo-random permutation of wide halves (Luby and Rackoff, 1988);
// narrow ones need a few more.
uint64_t Permutation::Encipher(uint64_t value) const {
  const uint64_t mask = (1ull << half_bits_) - 1;
  uint64_t left = value >> half_bits_, right = value & mask;
  const Philox2 key{{static_cast<uint32_t>(key_), static_cast<uint32_t>(key_ >> 32)}};
  for (uint64_t round = 0; round < 6; ++round) {
    const uint64_t mixed = left ^ (PhiloxAt(key, right, round).word[0] & mask);
    left = right;
    right = mixed;
  }
  return left << half_bits_ | right;
}

int64_t Permutation::operator()(int64_t index) const {
  uint64_t value = static_cast<uint64_t>(index);
  do {
    value = Encipher(value);
  } while (value >= count_);
  return static_cast<int64_t>(value);
}

}  // namespace orchard
