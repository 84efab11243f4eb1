// Sizes and boxes of voxel arrays. C++17: kernels include it. Everywhere in this module voxel (i,
// j, k) is element i + size[0] * (j + size[1] * k): i runs fastest, as in io::Volume, and as a C
// array the voxels are [K][J][I]. Several channels are [C][K][J][I].
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace orchard::volume {

using Size3 = std::array<int64_t, 3>;    // voxels along i, j, k
using Spacing3 = std::array<double, 3>;  // millimetres between neighbours along i, j, k

constexpr int64_t Voxels(const Size3& size) { return size[0] * size[1] * size[2]; }

constexpr int64_t IndexOf(const Size3& size, int64_t i, int64_t j, int64_t k) {
  return i + size[0] * (j + size[1] * k);
}

// Voxels with lo <= index < hi on every axis.
struct Box {
  Size3 lo = {0, 0, 0}, hi = {0, 0, 0};

  bool empty() const { return lo[0] >= hi[0] || lo[1] >= hi[1] || lo[2] >= hi[2]; }
  Size3 size() const { return {hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]}; }

  // The smallest box around both.
  Box Union(const Box& other) const {
    if (empty()) return other;
    if (other.empty()) return *this;
    Box box;
    for (size_t a = 0; a < 3; ++a) {
      box.lo[a] = std::min(lo[a], other.lo[a]);
      box.hi[a] = std::max(hi[a], other.hi[a]);
    }
    return box;
  }
};

}  // namespace orchard::volume
