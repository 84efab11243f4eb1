// Whether expansion can run on a GPU.
#pragma once

namespace orchard::expand {

// Kernels are compiled in, and the driver has a device.
bool GpuAvailable();

}  // namespace orchard::expand
