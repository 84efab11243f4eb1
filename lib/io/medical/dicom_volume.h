// A DICOM series as a volume.
#pragma once

#include <string>
#include <vector>

#include "io/medical/dicom_series.h"

namespace orchard::io {

struct DicomVolumeOptions {
  bool allow_gaps = false;  // interpolate over missing slices instead of refusing
  int threads = 1;
};

struct DicomVolume {
  Volume volume;  // slope 1, intercept 0: rescaling is done
  std::vector<std::string> warnings;
};

// Decodes every slice, applies its own RescaleSlope and RescaleIntercept, and stacks them on
// `series.grid`. Elements: int16 where all values are whole and fit, else uint16, int32, or, with
// fractional rescaling, float32.
//   PixelPaddingValue (and the range up to PixelPaddingRangeLimit): the smallest other value.
//   MONOCHROME1: turned over within the stored range, but for CT, whose values have a unit.
//   Series that are not uniform: linear between the two neighbouring slices.
// Throws DataError: series.problem, series.gap unless allowed, and what DicomPixels refuses.
DicomVolume ReadDicomVolume(const DicomSeries& series, const DicomVolumeOptions& options);

// Rows shifted so that the slices stand upright: the volume of a tilted gantry, linearly
// interpolated within its slices, on an orthogonal grid that holds all of it. Outside: the smallest
// value. A volume without shear comes back as it is.
Volume RemoveShear(const Volume& volume);

}  // namespace orchard::io
