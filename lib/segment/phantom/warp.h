// A smooth map of an image onto itself that folds nowhere: the end of a flow along a velocity that
// does not change.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "io/medical/affine.h"
#include "volume/shape.h"

namespace orchard::segment {

class Warp {
 public:
  // The map of a subject: of velocities smoothed by a tenth of the side (of axis i), nowhere moving
  // a point by more than 0.04 of it.
  Warp(const volume::Size3& size, const volume::Spacing3& spacing, uint64_t seed, uint64_t subject);

  // How far the centre of voxel `v` is moved, in mm.
  io::Vec3 operator()(size_t v) const { return {move_[0][v], move_[1][v], move_[2][v]}; }

 private:
  std::array<std::vector<double>, 3> move_;
};

}  // namespace orchard::segment
