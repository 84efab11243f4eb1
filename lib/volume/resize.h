// Resizing volumes: nearest, linear or cubic along each axis, with half-pixel centres and edges
// continued by their last voxel. Cubic is the interpolating B-spline of order 3. With the same
// order on all axes this is scikit-image's resize(order, mode="edge", anti_aliasing=False), and
// with nearest along a thick axis nnU-Net's resampling of anisotropic images.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "volume/sampling.h"
#include "volume/shape.h"

namespace orchard::volume {

// values [from] to [to], computed in double and rounded at the end of each axis.
std::vector<float> Resize(std::span<const float> values, const Size3& from, const Size3& to,
                          const Interpolation3& interpolation, ThreadPool& pool);

// The coefficients of the interpolating B-spline, which volume/resample.h samples.
std::vector<float> CubicCoefficients(std::span<const float> values, const Size3& size,
                                     ThreadPool& pool);

// Label maps: every label as a volume of zeros and ones, linearly interpolated (or nearest along an
// axis that says so), and the label with the largest value; of equal ones the lowest. Computed from
// the eight neighbours directly. L: uint8_t or uint16_t.
template <class L>
std::vector<L> ResizeLabels(std::span<const L> labels, const Size3& from, const Size3& to,
                            const Interpolation3& interpolation, ThreadPool& pool);

}  // namespace orchard::volume
