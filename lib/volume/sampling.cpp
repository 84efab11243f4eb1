#include "volume/sampling.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace orchard::volume {
namespace {

// Coordinate of output `o` among the inputs, kept within them.
double CenterOf(int64_t o, int64_t from, int64_t to) {
  const double at =
      (static_cast<double>(o) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
  return std::clamp(at, 0.0, static_cast<double>(from - 1));
}

LinearAxis EmptyAxis(int64_t from, int64_t to) {
  if (from < 1 || to < 1) throw UsageError("an axis without voxels", "resampling");
  LinearAxis axis{.inputs = from};
  axis.low.assign(static_cast<size_t>(to), 0);
  axis.weight.assign(static_cast<size_t>(to), 0);
  return axis;
}

}  // namespace

LinearAxis StretchedAxis(int64_t from, int64_t to) {
  LinearAxis axis = EmptyAxis(from, to);
  for (int64_t o = 0; o < to && from > 1; ++o) {
    const double at = CenterOf(o, from, to);
    const int64_t low = std::min(static_cast<int64_t>(at), from - 2);
    axis.low[static_cast<size_t>(o)] = static_cast<int32_t>(low);
    axis.weight[static_cast<size_t>(o)] = static_cast<float>(at - static_cast<double>(low));
  }
  return axis;
}

LinearAxis NearestAxis(int64_t from, int64_t to) {
  LinearAxis axis = StretchedAxis(from, to);
  for (float& weight : axis.weight) weight = weight >= 0.5f ? 1 : 0;
  return axis;
}

}  // namespace orchard::volume
