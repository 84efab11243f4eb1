// What a DICOM file says about the images in it, without their pixels.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/medical/affine.h"

namespace orchard::io {

// One image: a file, or one frame of an enhanced multi-frame file. Texts are ASCII: other bytes
// have become '?'.
struct DicomFrame {
  std::filesystem::path file;
  int64_t number = 0;  // within the file, from 0
  int64_t of = 1;      // frames of the file; 1 for an ordinary one

  std::string sop_class_uid, sop_instance_uid;
  bool uid_derived = false;  // the file has no SOPInstanceUID: this is one made from its contents
  std::string study_uid, series_uid, frame_of_reference_uid;  // may be empty
  std::string modality, series_description, image_type, transfer_syntax_uid;
  int64_t series_number = 0, instance_number = 0;  // 0 when absent
  // What can tell two images of one place apart: acquisition, time, echo, stack.
  std::vector<std::string> variant;

  int64_t rows = 0, columns = 0;
  Vec3 position{};                         // of the centre of the first pixel: LPS, mm
  Vec3 along_row{}, along_column{};        // unit vectors of growing column and growing row: LPS
  std::array<double, 2> spacing = {1, 1};  // between rows, between columns: mm
  double slice_thickness = 0, spacing_between_slices = 0;  // 0 when absent
  double slope = 1, intercept = 0;
  int64_t segment = 0;  // of segmentations: which one the frame shows; 0 in label maps
  std::vector<std::string> warnings;
};

enum class SkipReason {
  kNotDicom,      // another kind of file
  kSegmentation,  // read it with ReadSegmentation
  kNoImage,       // DICOM without an image that has a place: reports, plans, secondary captures
  kDamaged        // says it is DICOM and cannot be read
};

struct SkippedFile {
  std::filesystem::path file;
  SkipReason reason = SkipReason::kNotDicom;
  std::string why;  // one line
};

struct DicomFile {
  std::vector<DicomFrame> frames;  // empty: `skipped` says why
  SkippedFile skipped;
};

// The variant's parts, in the order in which they are tried to tell images apart.
inline constexpr const char* kVariantNames[] = {"stack",     "acquisition", "temporal position",
                                                "echo time", "b-value",     "image type"};

enum class DicomKind { kImage, kSegmentation };

// Reads all but the pixels of a file of the wanted kind; others are skipped with a line. Never
// throws for what the file holds; throws ResourceError when DCMTK's data dictionary is missing.
// Safe to call from several threads.
DicomFile ReadDicomFile(const std::filesystem::path& path, DicomKind wanted = DicomKind::kImage);

// Whether the file looks like DICOM: the mark "DICM" behind 128 bytes, or, for the old files
// without it, elements of group 0002 or 0008 at the start.
bool LooksLikeDicom(const std::filesystem::path& path);

}  // namespace orchard::io
