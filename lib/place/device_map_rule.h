// Accelerate's device_map="balanced": how Hugging Face's library would fill the devices.
#pragma once

#include <cstdint>
#include <vector>

#include "place/cluster.h"

namespace orchard::place {

// Device of every module, given its parameters' bytes, in the order of definition
// (get_balanced_memory and infer_auto_device_map of accelerate 1.6): all devices but the last may
// take total / n + 1.25 max(largest module, mean of the modules that have parameters), and no more
// than their memory; the first keeps room free for the largest module yet to come; a device that is
// full is never filled again. What accelerate would leave to the CPU stays on the last device and
// overruns it. A module is what must not be split, here a group.
std::vector<int32_t> BalancedDeviceMap(const std::vector<int64_t>& module_bytes,
                                       const Cluster& cluster);

}  // namespace orchard::place
