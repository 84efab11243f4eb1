// One thread a corner of the lattice. Bytes per corner: one read (neighbouring corners share
// theirs), one or two writes.
#include <cuda_runtime.h>

#include "cuda/volume/surface_codes.h"

namespace orchard::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) CodeKernel(SurfaceCodeArgs a, int64_t corners) {
  const int64_t li = a.size[0] + 1, lj = a.size[1] + 1;
  for (int64_t v = blockIdx.x * int64_t{kThreads} + threadIdx.x; v < corners;
       v += int64_t{gridDim.x} * kThreads) {
    const int64_t i = v % li, j = v / li % lj, k = v / li / lj;
    unsigned code = 0;
    for (int bit = 0; bit < 8; ++bit) {
      const int64_t x = i - 1 + (bit & 1), y = j - 1 + (bit >> 1 & 1), z = k - 1 + (bit >> 2);
      if (x < 0 || y < 0 || z < 0 || x >= a.size[0] || y >= a.size[1] || z >= a.size[2]) continue;
      code |= static_cast<unsigned>(a.mask[x + a.size[0] * (y + a.size[1] * z)] != 0) << bit;
    }
    a.codes[v] = static_cast<uint8_t>(code);
    if (a.elsewhere != nullptr) a.elsewhere[v] = code == 0 || code == 255 ? 1 : 0;
  }
}

}  // namespace

void SurfaceCodes(const SurfaceCodeArgs& a, cudaStream_t stream) {
  for (int x = 0; x < 3; ++x)
    CheckArgument(a.size[x] > 0, "SurfaceCodes", a.name, "an axis without voxels");
  CheckArgument(a.mask != nullptr && a.codes != nullptr, "SurfaceCodes", a.name,
                "a pointer is null");
  const int64_t corners = (a.size[0] + 1) * (a.size[1] + 1) * (a.size[2] + 1);
  CodeKernel<<<GridSize(corners, kThreads), kThreads, 0, stream>>>(a, corners);
  CheckLaunch("SurfaceCodes", a.name);
}

}  // namespace orchard::cuda
