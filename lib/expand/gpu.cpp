#include "expand/gpu.h"

#if ORCHARD_HAVE_CUDA
#include "cuda/base/launch.h"
#endif

namespace orchard::expand {

bool GpuAvailable() {
#if ORCHARD_HAVE_CUDA
  return cuda::DeviceAvailable();
#else
  return false;
#endif
}

}  // namespace orchard::expand
