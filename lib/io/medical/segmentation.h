// DICOM segmentations: label maps on the slices of a series.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/medical/dicom_series.h"

namespace orchard::io {

// A coded concept: value and meaning in a coding scheme ("SCT" is SNOMED CT).
struct DicomCode {
  std::string value, scheme, meaning;
};

// What one label value is.
struct Segment {
  int64_t label = 0;  // the value in the label map, above 0
  std::string name;   // empty: "label N"
  DicomCode category = {"123037004", "SCT", "Anatomical Structure"};
  DicomCode type = {"123037004", "SCT", "Anatomical Structure"};
  std::array<uint8_t, 3> rgb = {0, 0, 0};  // black: a colour by the label's value
};

enum class SegmentationKind {
  kBinary,   // one bit per voxel and segment: what all viewers read
  kLabelMap  // one number per voxel (DICOM 2024 and later)
};

struct SegmentationOptions {
  SegmentationKind kind = SegmentationKind::kBinary;
  // Labels without a Segment get one; Segments without a voxel stay described.
  std::vector<Segment> segments;
  std::string algorithm = "siamese-seg";
  std::string description = "Segmentation";  // of the new series
  // UIDs from the contents and dates of the source, instead of random UIDs and today: the same
  // input makes the same file.
  bool deterministic = false;
};

// Writes `labels` as a DICOM object that refers to the images of `reference`, frame by frame.
//   labels  whole numbers 0 (background) to 65535 of any type; its grid has the voxels of
//           reference.grid, in any axis order
// Binary: frames by segment, then slice, empty ones left out; bits packed over frame borders,
// lowest first. Segments are numbered from 1 in the order of their labels, as the standard wants;
// where that changes a number, SegmentDescription keeps it ("label value 17"). Label map: one frame
// per slice, segment number = label value. Series that are not uniform: every image takes the
// nearest slice of the label map. Throws DataError: another grid, fractional or negative labels, no
// label at all. ResourceError. Source: DICOM PS3.3, A.51 and C.8.20.
void WriteSegmentation(const std::filesystem::path& path, const Volume& labels,
                       const DicomSeries& reference, const SegmentationOptions& options);

struct Segmentation {
  Volume labels;  // uint8 or uint16; where segments overlap, the one with the higher number
  std::vector<Segment> segments;
  std::string series_uid, description;
  std::vector<std::string> warnings;
};

// Whether the file is a segmentation, by its SOP class.
bool IsSegmentation(const std::filesystem::path& path);

// Reads a binary or label map segmentation. Its grid holds the slices from the first to the last
// one that has a frame. Throws DataError: fractional, damaged, frames that make no grid.
Segmentation ReadSegmentation(const std::filesystem::path& path);

}  // namespace orchard::io
