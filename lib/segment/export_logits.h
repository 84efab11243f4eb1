// A file of logits to a label map, by the code that prediction uses: exactness and time can be
// checked from outside.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "cli/fields.h"

namespace orchard::segment {

struct ExportLogitsOptions {
  std::filesystem::path logits, output;
  std::vector<int64_t> size;
  bool shortcut = true;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("logits", logits, "safetensors file with a float32 tensor `logits` [K, D, H, W]");
    f.Positional("output", output, "label map, .nii or .nii.gz");
    f("size", size, "voxels x,y,z of the label map; default: as the logits", cli::AtLeast(1));
    f("shortcut", shortcut, "skip interpolation where one class leads at all corners of a cell");
  }
};

struct ExportLogitsResult {
  int64_t classes = 0;
  double export_seconds = 0, write_seconds = 0;  // the first includes reading the logits
  double interpolated = 0;                       // share of the voxels
};

// Throws DataError for another tensor, UsageError for sizes and names, and what WriteNifti throws.
ExportLogitsResult ExportLogits(const ExportLogitsOptions& options, int threads);

}  // namespace orchard::segment
