// A random order of [0, count) in constant memory.
#pragma once

#include <cstdint>

namespace orchard {

// A random permutation of [0, count): a Feistel network over the next power of four, keyed by
// Philox, that is walked until the value falls below `count` (Black and Rogaway, 2002).
class Permutation {
 public:
  // count >= 1. Other (seed, purpose, epoch) give unrelated permutations.
  Permutation(int64_t count, uint64_t seed, uint64_t purpose, uint64_t epoch);
  int64_t operator()(int64_t index) const;  // 0 <= index < count

 private:
  uint64_t Encipher(uint64_t value) const;

  uint64_t count_;
  uint64_t key_;
  int half_bits_;
};

}  // namespace orchard
