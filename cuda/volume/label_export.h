// Logits to a label map on the image's grid, on the GPU. CPU twin, with the same labels:
// volume/label_export.h.
#pragma once

#include <cstdint>

#include "cuda/base/launch.h"

namespace orchard::cuda {

// Device pointers. Axes are those of volume::LinearAxis along i, j, k.
struct LabelExportArgs {
  const char* name = "logits";
  int64_t classes = 0;
  int64_t from[3] = {0, 0, 0}, to[3] = {0, 0, 0};
  const int32_t* low[3] = {nullptr, nullptr, nullptr};   // [to]
  const float* weight[3] = {nullptr, nullptr, nullptr};  // [to]
  const float* logits = nullptr;                         // [classes, from]
  uint16_t* leader = nullptr;                            // [from], scratch
  uint16_t* labels = nullptr;                            // [to]
};

// Enqueues two kernels and returns. Throws UsageError for arguments that do not fit, ResourceError
// or Error when a launch fails.
void ExportLabels(const LabelExportArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
