// What `siamese-seg convert` can be told.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"

namespace orchard::segment {

enum class ImageFormat { kAuto, kNifti, kDicomSeg, kLabelMapSeg };
inline constexpr cli::EnumName<ImageFormat> kImageFormatNames[] = {
    {"auto", ImageFormat::kAuto},
    {"nifti", ImageFormat::kNifti},
    {"dicom-seg", ImageFormat::kDicomSeg},
    {"labelmap-seg", ImageFormat::kLabelMapSeg}};
constexpr auto EnumNames(ImageFormat) { return std::span(kImageFormatNames); }

struct ConvertOptions {
  std::filesystem::path input, output;
  ImageFormat to = ImageFormat::kAuto;
  std::string series;                              // which of several DICOM series
  std::optional<int64_t> frame;                    // which volume of a 4-D NIfTI file
  std::optional<std::filesystem::path> reference;  // of a segmentation: the series it lies on
  std::vector<std::string> labels;                 // "1=anterior"
  bool canonical = true;
  bool allow_gaps = false;
  bool upright = false;
  bool fix = false;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("input", input, "NIfTI file, DICOM file or segmentation, or a folder of them");
    f.Positional("output", output, "file (.nii, .nii.gz, .dcm), or a folder for every case");
    f("to", to, "format; auto: NIfTI, or DICOM-SEG where the output is named .dcm");
    f("series", series, "one DICOM series: UID or its end, description, or #n of inspect");
    f("frame", frame, "one volume of a 4-D NIfTI file, from 0", cli::AtLeast(0));
    f("reference", reference,
      "DICOM folder of the images that a DICOM-SEG lies on; of one that is read, too: all their "
      "slices");
    f("labels", labels, "names of label values in a DICOM-SEG: 1=anterior,2=posterior");
    f("canonical", canonical, "NIfTI: turn axes to the nearest of right, anterior, superior");
    f("allow_gaps", allow_gaps, "interpolate over missing slices");
    f("fix", fix, "put the smallest value in the place of NaN and infinite ones");
    f("upright", upright, "resample slices of a tilted gantry to an orthogonal grid");
  }
};

}  // namespace orchard::segment
