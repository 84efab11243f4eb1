// The arithmetic of one voxel under overlapping windows, shared with the GPU.
#pragma once

#include "base/host_device.h"

namespace orchard::volume {

// weight_i: of the window along i; weight: its product along j and k.
ORCHARD_HD float AddWeighted(float sum, float value, float weight_i, float weight) {
  return sum + value * (weight_i * weight);
}

// factor_i: one over the sum of weights along i; factor: their product along j and k.
ORCHARD_HD float NormalizeWeighted(float sum, float factor_i, float factor) {
  return sum * (factor_i * factor);
}

}  // namespace orchard::volume
