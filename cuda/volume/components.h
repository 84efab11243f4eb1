// Connected components on the GPU. CPU twin, which finds the same ones: volume/components.h.
#pragma once

#include <cstdint>

#include "cuda/base/launch.h"

namespace orchard::cuda {

// Device pointers.
struct ComponentArgs {
  const char* name = "labels";
  int64_t size[3] = {0, 0, 0};
  int connectivity = 26;             // 6, 18 or 26
  const uint16_t* labels = nullptr;  // [size]
  int32_t* root = nullptr;  // [size]: index of the first voxel of each voxel's component; -1 for 0
};

// Enqueues three kernels and returns. At most 2^31 - 1 voxels. Throws UsageError for arguments that
// do not fit, ResourceError or Error when a launch fails.
void FindComponents(const ComponentArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
