// Windows of a volume on the GPU: cutting out, adding up with Gaussian weights, and dividing by the
// weights' sums. CPU twin, with the same bits: volume/sliding_window.h.
#pragma once

#include <cstdint>

#include "cuda/base/launch.h"

namespace orchard::cuda {

// Device pointers; sizes along i, j, k. Windows may reach over the volume's ends.
struct WindowArgs {
  const char* name = "windows";
  int64_t channels = 1;
  int64_t size[3] = {0, 0, 0};  // of the volume, or of the slab of planes that is held
  int64_t patch[3] = {0, 0, 0};
  int64_t start[3] = {0, 0, 0};                           // of the window in `size`
  const float* weights[3] = {nullptr, nullptr, nullptr};  // [patch]; only for AddWindow
  float outside = 0;                                      // only for GatherWindow
  float* volume = nullptr;                                // [channels, size]
  float* window = nullptr;                                // [channels, patch]
};

// Each enqueues and returns. Throws UsageError for arguments that do not fit, ResourceError or
// Error when a launch fails.
void GatherWindow(const WindowArgs& args, cudaStream_t stream);  // volume -> window
void AddWindow(const WindowArgs& args, cudaStream_t stream);     // volume += weights * window

// volume [channels, size] *= inverse[0][i] * (inverse[1][j] * inverse[2][k]), the inverse sums of
// weights.
struct NormalizeArgs {
  const char* name = "windows";
  int64_t channels = 1;
  int64_t size[3] = {0, 0, 0};
  const float* inverse[3] = {nullptr, nullptr, nullptr};
  float* volume = nullptr;
};
void NormalizeWindows(const NormalizeArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
