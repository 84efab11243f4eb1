// Segmenting one scan or a folder of them: reading, writing, and what happens when one fails.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/medical/segmentation.h"
#include "io/medical/volume.h"
#include "segment/plan.h"
#include "segment/predict_options.h"

namespace orchard::segment {

// A label map on the grid of the scan it belongs to.
struct SegmentedScan {
  io::Volume labels;
  std::vector<io::Volume> probabilities = {};  // f32, of class 0, 1, ..., where they were asked for
  std::vector<std::string> templates = {}, warnings = {};
  double seconds = 0;
};

// Segments the channels of one scan. `id` is the case's name without channel, `where` its file.
using SegmentScan = std::function<SegmentedScan(std::span<const io::Volume> channels,
                                                const std::string& id, const std::string& where)>;

struct PredictedCase {
  std::string id;
  std::filesystem::path input, output;
  bool kept = false;  // was there already
  std::vector<std::string> templates, warnings;
  std::vector<int64_t> voxels;  // of label 1, 2, ...
  double seconds = 0;           // of SegmentScan
  std::string error;            // empty: done
  int exit_code = 0;
};

struct PredictFlags {
  std::filesystem::path out;
  int threads = 1;
  bool force = false;          // do finished cases again
  bool deterministic = false;  // UIDs and dates of a DICOM-SEG from its input
};

// Writes OUT/ID.nii.gz, or OUT/ID.dcm, and what else was asked for, for every case of this shard,
// and OUT/failures.json where some failed. Without --shard the ranks of a SLURM step divide the
// cases. Finished cases are left alone. Throws DataError where there is no case at all, and
// ResourceError.
std::vector<PredictedCase> PredictCases(const PredictOptions& options, const PredictFlags& flags,
                                        const std::vector<LabelName>& labels, size_t channels,
                                        const SegmentScan& segment);

}  // namespace orchard::segment
