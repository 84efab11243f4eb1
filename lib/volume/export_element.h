// The arithmetic of one exported voxel, shared with the GPU. Both sides compile it without
// contraction, so they pick the same class.
#pragma once

#include "base/host_device.h"

namespace orchard::volume {

// Weighted mean of two neighbours. Rounding keeps its order: if a <= c and b <= d, the mean of a
// and b is at most that of c and d.
ORCHARD_HD float Between(float a, float b, float weight) { return a * (1 - weight) + b * weight; }

// Trilinear value of a cell: along k (low and high plane), then j, then i.
//   v[k][j][i] the eight corners
ORCHARD_HD float Trilinear(const float (&v)[2][2][2], float wi, float wj, float wk) {
  float row[2];
  for (int i = 0; i < 2; ++i)
    row[i] = Between(Between(v[0][0][i], v[1][0][i], wk), Between(v[0][1][i], v[1][1][i], wk), wj);
  return Between(row[0], row[1], wi);
}

}  // namespace orchard::volume
