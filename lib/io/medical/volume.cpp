#include "io/medical/volume.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "base/error.h"
#include "base/number_format.h"

namespace orchard::io {

Volume MakeVolume(const Grid& grid, DType dtype) {
  Volume volume{.grid = grid, .dtype = dtype};
  const uint64_t bytes =
      static_cast<uint64_t>(grid.Voxels()) * static_cast<uint64_t>(ByteSize(dtype));
  try {
    volume.data.resize(bytes);
  } catch (const std::bad_alloc&) {
    throw ResourceError("no memory for an image of " + FormatBytes(bytes));
  }
  return volume;
}

void ThrowNotANumberType(DType dtype) {
  throw ImpossibleError("images have no elements of type " + std::string(Name(dtype)));
}

std::vector<float> RealValues(const Volume& volume) {
  std::vector<float> values(static_cast<size_t>(volume.grid.Voxels()));
  VisitNumber(volume.dtype, [&]<class T>(T) {
    const std::span<const T> elements = volume.Elements<T>();
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] =
          static_cast<float>(volume.slope * static_cast<double>(elements[i]) + volume.intercept);
    }
  });
  return values;
}

ValueRange FindRange(const Volume& volume) {
  ValueRange range{.min = std::numeric_limits<double>::infinity(),
                   .max = -std::numeric_limits<double>::infinity()};
  VisitNumber(volume.dtype, [&]<class T>(T) {
    for (const T element : volume.Elements<T>()) {
      const double value = volume.slope * static_cast<double>(element) + volume.intercept;
      if (std::isnan(value)) {
        ++range.not_a_number;
      } else if (std::isinf(value)) {
        ++range.infinite;
      } else {
        range.min = std::min(range.min, value);
        range.max = std::max(range.max, value);
        range.integral = range.integral && value == std::trunc(value);
      }
    }
  });
  if (range.min > range.max) range.min = range.max = 0;
  return range;
}

}  // namespace orchard::io
