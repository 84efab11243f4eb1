// How much memory this process may still take.
#pragma once

#include <cstdint>

namespace orchard {

// The least of what the machine has free (MemAvailable of /proc/meminfo) and what the control group
// leaves, e.g. under SLURM or in a container; 0 where nobody says.
int64_t AvailableMemoryBytes();

}  // namespace orchard
