// How voxels of one grid along an axis are made from those of another: half-pixel centres, edges
// continued, as in scikit-image's and nnU-Net's resizing.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace orchard::volume {

enum class Interpolation { kNearest, kLinear, kCubic };
using Interpolation3 = std::array<Interpolation, 3>;  // along i, j, k

// Output o lies between inputs low[o] and low[o] + 1, at `weight[o]` in [0, 1] of the way. With a
// single input low is 0 and the weight 0.
struct LinearAxis {
  int64_t inputs = 0;
  std::vector<int32_t> low;
  std::vector<float> weight;

  int64_t outputs() const { return static_cast<int64_t>(low.size()); }
};

// `to` outputs over all of `from` inputs. Throws UsageError for empty axes.
LinearAxis StretchedAxis(int64_t from, int64_t to);

// As above, where each output takes the nearest input alone; halves go to the higher one.
LinearAxis NearestAxis(int64_t from, int64_t to);

}  // namespace orchard::volume
