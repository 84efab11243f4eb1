#include "segment/finite_values.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace orchard::segment {
namespace {

template <class T>
int64_t Replace(std::span<T> values) {
  T least = std::numeric_limits<T>::infinity();
  for (const T v : values)
    if (std::isfinite(v)) least = std::min(least, v);
  if (!std::isfinite(least)) return 0;
  int64_t count = 0;
  for (T& v : values) {
    if (std::isfinite(v)) continue;
    v = least;
    ++count;
  }
  return count;
}

}  // namespace

int64_t ReplaceNotFinite(io::Volume& volume) {
  if (volume.dtype == io::DType::kF32) return Replace(volume.Elements<float>());
  if (volume.dtype == io::DType::kF64) return Replace(volume.Elements<double>());
  return 0;
}

}  // namespace orchard::segment
