// Inputs for the tests of comm: what rank r holds is a function of (seed, rank, index), so every
// test can recompute it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/half.h"
#include "base/philox.h"

namespace orchard::comm {

// A number with a random exponent: sums in a different order give different bits.
template <class T>
T Element(uint64_t seed, int rank, int64_t index) {
  const Philox4 block = PhiloxAt(PhiloxKey(seed, rank), index);
  const double mantissa = UniformDouble(block.word[0], block.word[1]) * 2 - 1;
  const double value = mantissa * static_cast<double>(1 << (block.word[2] % 12));
  if constexpr (std::is_same_v<T, int8_t>) {
    return static_cast<int8_t>(block.word[0]);
  } else {
    return Narrow<T>(static_cast<ComputeOf<T>>(value));
  }
}

template <class T>
std::vector<T> Elements(uint64_t seed, int rank, int64_t count) {
  std::vector<T> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = Element<T>(seed, rank, i);
  return values;
}

}  // namespace orchard::comm
