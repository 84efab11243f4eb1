// Converting medical images, one or a folder of them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/medical/volume.h"
#include "segment/options.h"

namespace orchard::segment {

// One case: an image that was or would have been converted.
struct ConvertedCase {
  std::string name;  // relative to the folders, without an ending
  std::filesystem::path input, output;
  io::Grid grid;
  io::DType dtype = io::DType::kI16;
  std::vector<std::string> warnings;
  std::string error;  // empty: done
  int exit_code = 0;  // of the error
};

struct ConvertFlags {
  int threads = 1;
  bool force = false;          // replace what exists
  bool resume = false;         // of a folder: leave finished cases alone
  bool dry_run = false;        // read and check, write nothing
  bool deterministic = false;  // UIDs and dates of a DICOM-SEG from its input
};

// Converts a single case when `output` is named like a file, and every case below `input`
// otherwise; then a case that fails does not stop the others, and OUT/failures.json says which and
// why. Throws as the readers and writers do; of a folder only when there is no case at all
// (DataError) or the machine fails (ResourceError).
std::vector<ConvertedCase> Convert(const ConvertOptions& options, const ConvertFlags& flags);

// Whether `path` is named like one of the files that Convert writes.
bool NamesOneFile(const std::filesystem::path& path);

}  // namespace orchard::segment
