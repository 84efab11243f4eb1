// The most memory that this process has held.
#pragma once

#include <sys/resource.h>

#include <cstdint>

namespace orchard {

// Bytes resident at the peak, since the process began.
inline int64_t PeakMemoryBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace orchard
