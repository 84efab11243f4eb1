#include "segment/phantom/warp.h"

#include <algorithm>
#include <utility>

#include "segment/phantom/noise.h"

namespace orchard::segment {
namespace {

using volume::Size3;

constexpr int kSquarings = 6;

// Between voxels linearly, beyond the edges as on them.
struct Place {
  std::array<size_t, 8> voxel{};
  std::array<double, 8> weight{};

  Place(const Size3& size, const std::array<double, 3>& at) {  // at: voxels
    Size3 low{}, high{};
    std::array<double, 3> part{};
    for (size_t a = 0; a < 3; ++a) {
      const double x = std::clamp(at[a], 0.0, static_cast<double>(size[a] - 1));
      low[a] = static_cast<int64_t>(x);
      high[a] = std::min(low[a] + 1, size[a] - 1);
      part[a] = x - static_cast<double>(low[a]);
    }
    for (size_t c = 0; c < 8; ++c) {
      const bool i = (c & 1) != 0, j = (c & 2) != 0, k = (c & 4) != 0;
      voxel[c] = static_cast<size_t>(
          volume::IndexOf(size, i ? high[0] : low[0], j ? high[1] : low[1], k ? high[2] : low[2]));
      weight[c] =
          (i ? part[0] : 1 - part[0]) * (j ? part[1] : 1 - part[1]) * (k ? part[2] : 1 - part[2]);
    }
  }
  double Of(const std::vector<double>& values) const {
    double sum = 0;
    for (size_t c = 0; c < 8; ++c) sum += weight[c] * values[voxel[c]];
    return sum;
  }
};

}  // namespace

Warp::Warp(const Size3& size, const volume::Spacing3& spacing, uint64_t seed, uint64_t subject) {
  data::RandomStream random(seed, "phantom warp", subject);
  const double side = static_cast<double>(size[0]) * spacing[0];
  for (size_t a = 0; a < 3; ++a) {
    move_[a].resize(static_cast<size_t>(volume::Voxels(size)));
    if (size[a] > 1) move_[a] = SmoothNoise(size, spacing, side / 10, 1, Edges::kEven, random);
  }
  double most = 0;
  for (size_t v = 0; v < move_[0].size(); ++v) most = std::max(most, io::Norm((*this)(v)));
  // A short while of the flow, doubled again and again: moving is then first moving half the time
  // and from there the other half.
  const double scale = 0.04 * side / most / (1 << kSquarings);
  for (auto& axis : move_)
    for (double& x : axis) x *= scale;
  for (int n = 0; n < kSquarings; ++n) {
    std::array<std::vector<double>, 3> twice = move_;
    size_t v = 0;
    for (int64_t k = 0; k < size[2]; ++k) {
      for (int64_t j = 0; j < size[1]; ++j) {
        for (int64_t i = 0; i < size[0]; ++i, ++v) {
          const Place there(size, {static_cast<double>(i) + move_[0][v] / spacing[0],
                                   static_cast<double>(j) + move_[1][v] / spacing[1],
                                   static_cast<double>(k) + move_[2][v] / spacing[2]});
          for (size_t a = 0; a < 3; ++a) twice[a][v] += there.Of(move_[a]);
        }
      }
    }
    move_ = std::move(twice);
  }
}

}  // namespace orchard::segment
