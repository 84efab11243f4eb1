// Surface codes of a mask on the GPU: for each corner of the voxel lattice the eight bits of the
// voxels around it (volume/surface_codes.h). CPU twin, with the same codes: CompareSurfaces of
// volume/surface.h.
#pragma once

#include <cstdint>

#include "cuda/base/launch.h"

namespace orchard::cuda {

// Device pointers.
struct SurfaceCodeArgs {
  const char* name = "mask";
  int64_t size[3] = {0, 0, 0};    // of the mask; the lattice has one corner more along each axis
  const uint8_t* mask = nullptr;  // [size] zeros and ones
  uint8_t* codes = nullptr;       // [lattice]
  uint8_t* elsewhere = nullptr;   // [lattice]: 0 where there is surface, 1 elsewhere; may be null
};

// Enqueues and returns. Throws UsageError for arguments that do not fit, ResourceError or Error
// when the launch fails.
void SurfaceCodes(const SurfaceCodeArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
