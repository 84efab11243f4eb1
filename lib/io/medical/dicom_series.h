// Finding the volumes in a folder of DICOM files: which images belong together, in which order, and
// what grid they make.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/medical/dicom_frame.h"
#include "io/medical/volume.h"

namespace orchard::io {

// Images of one size, orientation and series, in ascending order along their normal (row direction
// times column direction). The order of a folder's files and their numbers play no part.
struct DicomSeries {
  std::string id;                  // unique in a scan: the UID, and "/2", "/3" where one splits
  std::vector<DicomFrame> frames;  // at least one
  std::string variant;             // what sets it apart from others of its UID: "echo time 30"
  bool localizer = false;          // ImageType says LOCALIZER

  // The grid of the volume: index i along rows, j along columns, k along the normal. With a tilted
  // gantry its k axis is not orthogonal to the others: the affine is sheared and no voxel is moved.
  Grid grid;
  double tilt_degrees = 0;  // between the normal and the line through the slices
  bool uniform = true;      // every frame is slice k of the grid; else they are interpolated

  std::vector<std::string> warnings;
  std::string gap;      // slices are missing: where, between which files; empty when none
  std::string problem;  // no volume can be made: why; empty when it can

  const DicomFrame& first() const { return frames.front(); }
};

struct DicomScan {
  std::vector<DicomSeries> series;   // by series number, then UID
  std::vector<SkippedFile> skipped;  // by name
};

// Sorts frames into series.
//   One series: SeriesInstanceUID, or where that is empty (study, frame of reference, modality,
//   description); and rows, columns, spacing to 1e-3, directions to 1e-3, localizer or not.
//   Two images in one place: copies of one instance count once (a warning); else the series splits
//   by stack, acquisition, temporal position, echo time, b-value or image type, whichever tells
//   them all apart; else it has a problem. Steps between slices come from positions alone. Within 1
//   %: uniform. A step of a whole number of median steps (to 10 %): `gap`. Otherwise: not uniform,
//   with a warning.
std::vector<DicomSeries> GroupSeries(std::vector<DicomFrame> frames);

// Reads a file, or every file below a folder. Throws DataError when `path` is absent, and
// ResourceError.
DicomScan ScanDicom(const std::filesystem::path& path, int threads);

// The series meant by `wanted`: its id, its UID, the end of the UID, its description (in any case),
// or "#n", n-th of the scan from 1; without `wanted` the only one that is no localizer. Throws
// DataError listing the series when none or several fit.
const DicomSeries& ChooseSeries(const DicomScan& scan, const std::string& wanted,
                                const std::string& where);

// One line: "#2 T1 axial (MR, 32 slices of 51x35)".
std::string Describe(const DicomSeries& series, size_t number);

}  // namespace orchard::io
