// Seconds of a clock that never goes back, for durations.
#pragma once

#include <chrono>

namespace orchard {

inline double SecondsNow() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace orchard
