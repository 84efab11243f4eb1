// The arithmetic of taking a value between voxels, shared with the GPU.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace orchard::volume {

// Weights of the cubic B-spline for the four coefficients around a point at `t` in [0, 1) after the
// second of them.
template <class T>
ORCHARD_HD void CubicWeights(T t, T (&weight)[4]) {
  const T s = 1 - t;
  weight[0] = s * s * s / 6;
  weight[1] = (4 - 3 * t * t * (2 - t)) / 6;
  weight[2] = (4 - 3 * s * s * (2 - s)) / 6;
  weight[3] = t * t * t / 6;
}

// A point of the source, in voxels.
struct SourcePoint {
  float x, y, z;
};

// Where voxel (i, j, k) of the result lies: m * (i, j, k, 1).
ORCHARD_HD SourcePoint MapVoxel(const float (&m)[3][4], int64_t i, int64_t j, int64_t k) {
  const auto x = static_cast<float>(i), y = static_cast<float>(j), z = static_cast<float>(k);
  return {m[0][0] * x + m[0][1] * y + m[0][2] * z + m[0][3],
          m[1][0] * x + m[1][1] * y + m[1][2] * z + m[1][3],
          m[2][0] * x + m[2][1] * y + m[2][2] * z + m[2][3]};
}

// Index of the last voxel not after `at`, kept in [0, size - 1], and how far `at` is past it: 0
// where the next voxel is outside.
ORCHARD_HD int64_t FloorIndex(float at, int64_t size, float& past) {
  if (!(at > 0)) {
    past = 0;
    return 0;
  }
  const auto low = static_cast<int64_t>(at);
  if (low >= size - 1) {
    past = 0;
    return size - 1;
  }
  past = at - static_cast<float>(low);
  return low;
}

// The voxel nearest to `at`, halves to the higher one, edges continued.
ORCHARD_HD int64_t NearestIndex(float at, int64_t size) {
  const float shifted = at + 0.5f;
  if (!(shifted > 0)) return 0;
  const auto index = static_cast<int64_t>(shifted);
  return index < size ? index : size - 1;
}

// Whether a point lies over the grid: no further than half a voxel outside the outermost centres.
ORCHARD_HD bool OverGrid(float x, float y, float z, int64_t nx, int64_t ny, int64_t nz) {
  return x >= -0.5f && y >= -0.5f && z >= -0.5f && x <= static_cast<float>(nx) - 0.5f &&
         y <= static_cast<float>(ny) - 0.5f && z <= static_cast<float>(nz) - 0.5f;
}

// Trilinear value at (x, y, z), edges continued.
ORCHARD_HD float SampleLinear(const float* v, int64_t nx, int64_t ny, int64_t nz, float x, float y,
                              float z) {
  float tx, ty, tz;
  const int64_t i = FloorIndex(x, nx, tx), j = FloorIndex(y, ny, ty), k = FloorIndex(z, nz, tz);
  const int64_t di = i + 1 < nx ? 1 : 0, dj = j + 1 < ny ? nx : 0;
  const int64_t dk = k + 1 < nz ? nx * ny : 0;
  const float* const p = v + i + nx * (j + ny * k);
  const float a = p[0] * (1 - tx) + p[di] * tx, b = p[dj] * (1 - tx) + p[dj + di] * tx;
  const float c = p[dk] * (1 - tx) + p[dk + di] * tx;
  const float d = p[dk + dj] * (1 - tx) + p[dk + dj + di] * tx;
  const float e = a * (1 - ty) + b * ty, f = c * (1 - ty) + d * ty;
  return e * (1 - tz) + f * tz;
}

// Cubic value at (x, y, z) from B-spline coefficients; those outside are the outermost ones.
ORCHARD_HD float SampleCubic(const float* c, int64_t nx, int64_t ny, int64_t nz, float x, float y,
                             float z) {
  const float at[3] = {x, y, z};
  const int64_t n[3] = {nx, ny, nz};
  float w[3][4];
  int64_t index[3][4];
  for (int a = 0; a < 3; ++a) {
    const float most = static_cast<float>(n[a]) + 1;
    const float inside = at[a] < -2 ? -2 : at[a] > most ? most : at[a];
    const auto low = static_cast<int64_t>(inside + 8) - 8;  // rounds down: inside >= -2
    CubicWeights(inside - static_cast<float>(low), w[a]);
    for (int t = 0; t < 4; ++t) {
      const int64_t i = low - 1 + t;
      index[a][t] = i < 0 ? 0 : i >= n[a] ? n[a] - 1 : i;
    }
  }
  float sum = 0;
  for (int k = 0; k < 4; ++k) {
    float plane = 0;
    for (int j = 0; j < 4; ++j) {
      const float* const row = c + nx * (index[1][j] + ny * index[2][k]);
      float line = 0;
      for (int i = 0; i < 4; ++i) line += w[0][i] * row[index[0][i]];
      plane += w[1][j] * line;
    }
    sum += w[2][k] * plane;
  }
  return sum;
}

}  // namespace orchard::volume
