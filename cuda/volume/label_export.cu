// Trilinear interpolation of all classes and the largest of them, without a volume of interpolated
// logits.
//
// First every voxel of the logits gets its leader, where one is ahead by more than rounding can
// take away; this reads the logits once. Then a thread an output voxel looks at the leaders of the
// eight corners of its cell: equal ones are the answer, since the weights are convex. Else it
// interpolates class by class, in registers. Neighbouring threads share corners, so the logits of
// mixed cells come from the cache. Bytes: the logits once, 2 a voxel of either grid, and the mixed
// cells again.
#include <cfloat>
#include <cmath>

#include <cuda_runtime.h>

#include "cuda/volume/label_export.h"
#include "volume/export_element.h"

namespace orchard::cuda {
namespace {

constexpr int kThreads = 256;
constexpr uint16_t kNone = 0xFFFF;

__global__ void __launch_bounds__(kThreads)
    LeaderKernel(const float* logits, int64_t classes, int64_t voxels, uint16_t* leader) {
  for (int64_t v = blockIdx.x * int64_t{kThreads} + threadIdx.x; v < voxels;
       v += int64_t{gridDim.x} * kThreads) {
    float best = -INFINITY, second = -INFINITY;
    int arg = kNone;
    for (int64_t c = 0; c < classes; ++c) {
      const float value = logits[c * voxels + v];
      const bool ahead = value > best;
      const float behind = ahead ? best : value;
      second = behind > second ? behind : second;
      arg = ahead ? static_cast<int>(c) : arg;
      best = ahead ? value : best;
    }
    const bool certain = best - second > 16 * FLT_EPSILON * (fabsf(best) + fabsf(second));
    leader[v] = static_cast<uint16_t>(certain ? arg : kNone);
  }
}

__global__ void __launch_bounds__(kThreads) ExportKernel(LabelExportArgs a, int64_t outputs) {
  const int64_t plane = a.from[0] * a.from[1], voxels = plane * a.from[2];
  const int64_t right = a.from[0] > 1 ? 1 : 0, up = a.from[1] > 1 ? a.from[0] : 0;
  const int64_t above = a.from[2] > 1 ? plane : 0;
  for (int64_t v = blockIdx.x * int64_t{kThreads} + threadIdx.x; v < outputs;
       v += int64_t{gridDim.x} * kThreads) {
    const int64_t i = v % a.to[0], j = v / a.to[0] % a.to[1], k = v / a.to[0] / a.to[1];
    const int64_t at = a.low[0][i] + a.from[0] * a.low[1][j] + plane * a.low[2][k];
    const uint16_t first = a.leader[at];
    int differ = 0;
    for (int corner = 1; corner < 8; ++corner) {
      const int64_t offset =
          (corner & 1 ? right : 0) + (corner & 2 ? up : 0) + (corner & 4 ? above : 0);
      differ |= first ^ a.leader[at + offset];
    }
    if (differ == 0 && first != kNone) {
      a.labels[v] = first;
      continue;
    }
    float best = -INFINITY;
    int64_t label = 0;
    for (int64_t c = 0; c < a.classes; ++c) {
      const float* const p = a.logits + c * voxels + at;
      const float corners[2][2][2] = {
          {{p[0], p[right]}, {p[up], p[up + right]}},
          {{p[above], p[above + right]}, {p[above + up], p[above + up + right]}}};
      const float value =
          volume::Trilinear(corners, a.weight[0][i], a.weight[1][j], a.weight[2][k]);
      if (value > best) {
        best = value;
        label = c;
      }
    }
    a.labels[v] = static_cast<uint16_t>(label);
  }
}

}  // namespace

void ExportLabels(const LabelExportArgs& a, cudaStream_t stream) {
  CheckArgument(a.classes >= 1 && a.classes < kNone, "ExportLabels", a.name, "too many classes");
  for (int x = 0; x < 3; ++x) {
    CheckArgument(a.from[x] > 0 && a.to[x] > 0, "ExportLabels", a.name, "an axis without voxels");
    CheckArgument(a.low[x] != nullptr && a.weight[x] != nullptr, "ExportLabels", a.name,
                  "an axis is null");
  }
  CheckArgument(a.logits != nullptr && a.leader != nullptr && a.labels != nullptr, "ExportLabels",
                a.name, "a pointer is null");
  const int64_t inputs = a.from[0] * a.from[1] * a.from[2], outputs = a.to[0] * a.to[1] * a.to[2];
  LeaderKernel<<<GridSize(inputs, kThreads), kThreads, 0, stream>>>(a.logits, a.classes, inputs,
                                                                    a.leader);
  CheckLaunch("ExportLabels", a.name);
  ExportKernel<<<GridSize(outputs, kThreads), kThreads, 0, stream>>>(a, outputs);
  CheckLaunch("ExportLabels", a.name);
}

}  // namespace orchard::cuda
