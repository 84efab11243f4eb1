// What a step sends, and how many bytes that is by the formulas of the collectives: held against
// the counters of the communicator in tests, `verify` and the report.
#pragma once

#include <cstdint>

namespace orchard::sync {

struct Message {
  int64_t reduced = 0;   // elements that are all-reduced in the type of the arena
  int64_t gathered = 0;  // bytes that each rank gives to an all-gather
  int64_t shared = 0;    // bytes of reduce-scatters, and of all parts of all-gathers together
  Message& operator+=(const Message& other) {
    reduced += other.reduced;
    gathered += other.gathered;
    shared += other.shared;
    return *this;
  }
};

// Bytes that one of `ranks` sends on average: an all-reduce moves 2 (n-1)/n of its buffer, an
// all-gather n-1 parts, a reduce-scatter (n-1)/n.
inline double BytesSent(const Message& message, int ranks, int64_t element_size) {
  const auto n = static_cast<double>(ranks);
  return 2 * (n - 1) / n * static_cast<double>(message.reduced * element_size) +
         (n - 1) * static_cast<double>(message.gathered) +
         (n - 1) / n * static_cast<double>(message.shared);
}

}  // namespace orchard::sync
