// The arithmetic of one candidate plan in a batch, which the CUDA kernel (cuda/place) and its CPU
// twin (place/batch_simulate.cpp) share. C++17.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace orchard::place {

// When a tensor that is ready at `end` on device `from` can be read on device `to`.
template <class T>
ORCHARD_HD T ReadableAt(T end, T cost, int32_t from, int32_t to) {
  return from == to ? end : end + cost;
}

template <class T>
ORCHARD_HD T Later(T a, T b) {
  return a < b ? b : a;
}

// Where the cost of sending between two devices stands: with one link for all pairs, or one each.
ORCHARD_HD int32_t LinkIndex(int32_t links, int32_t devices, int32_t from, int32_t to) {
  return links == 1 ? 0 : from * devices + to;
}

// Memory of one device, going through a plan backwards: what is held between two operators, and the
// most that was held later.
struct BackwardMemory {
  int64_t level, peak;

  // Something is read here for the last time: it is held before, and when `kept`, also later.
  ORCHARD_HD void Need(int64_t bytes, bool kept) {
    level += bytes;
    if (kept) peak += bytes;
  }
  // An operator runs, with this much that nobody holds afterwards.
  ORCHARD_HD void Run(int64_t bytes) { peak = Later(peak, level + bytes); }
  // Something begins to exist.
  ORCHARD_HD void Begin(int64_t bytes) { level -= bytes; }
};

ORCHARD_HD int64_t Over(int64_t bytes, int64_t limit) { return bytes > limit ? bytes - limit : 0; }

}  // namespace orchard::place
