// What the expansion kernel makes of the device's memory, beside a copy.
#pragma once

#include <string>

namespace orchard::cuda {

// Bytes read plus written per second: by a device-to-device copy, and by ExpandMatrix on a bf16
// matrix [4096, 4096] grown to [8192, 8192], split on the grid.
struct ExpandRates {
  std::string device;
  double copy = 0, expand_matrix = 0;
};

// Takes about a second and 1.3 GB of the current device. Throws ResourceError.
ExpandRates MeasureExpandRates();

}  // namespace orchard::cuda
