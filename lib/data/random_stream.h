// Random numbers for one thing that is drawn (a sample, a document): Philox blocks in order, keyed
// by what the thing is. Two streams with other keys or indices are independent, so results do not
// depend on the order in which things are drawn.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include "base/hash.h"
#include "base/philox.h"

namespace orchard::data {

class RandomStream {
 public:
  // The numbers of `purpose` for the thing `index` in `epoch`.
  RandomStream(uint64_t seed, std::string_view purpose, uint64_t index, uint64_t epoch = 0)
      : key_(PhiloxKey(seed, Hash64(purpose) + 0x9E3779B97F4A7C15ull * epoch)), index_(index) {}

  uint32_t Word() {
    if (used_ == 4) {
      block_ = PhiloxAt(key_, block_count_++, index_);
      used_ = 0;
    }
    return block_.word[used_++];
  }
  // In [0, 1).
  double Uniform() {
    const uint32_t high = Word();
    return UniformDouble(high, Word());
  }
  // In [0, count), count from 1 to 2^32; the bias is below count / 2^32.
  uint32_t Below(uint64_t count) { return static_cast<uint32_t>(Word() * count >> 32); }
  bool Chance(double probability) { return Uniform() < probability; }
  // Standard normal (Box and Muller).
  double Normal() {
    const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
    return radius * std::cos(6.283185307179586 * Uniform());
  }

 private:
  Philox2 key_;
  uint64_t index_;
  uint64_t block_count_ = 0;
  Philox4 block_{};
  int used_ = 4;
};

}  // namespace orchard::data
