// Label maps as evaluation needs them: whole numbers on a grid, from any of the formats that hold
// them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/medical/volume.h"

namespace orchard::segment {

struct LabelMap {
  io::Grid grid;
  std::vector<uint16_t> labels;
  bool part = false;  // of a DICOM segmentation, which leaves out slices without a label
};

// A NIfTI file or a DICOM segmentation. Floating-point label maps are fine as long as their values
// are whole. Throws DataError naming the file and the first voxel whose value is not a whole number
// from 0 to 65535.
LabelMap ReadLabelMap(const std::filesystem::path& path);

// The labels turned to the axes of `grid`; a part of its voxels with background around it. Throws
// DataError when they are not the same voxels.
LabelMap OnGrid(LabelMap map, const io::Grid& grid, const std::string& where);

// "hippocampus_001" of hippocampus_001.nii.gz and hippocampus_001_0000.nii: a file's name without
// ending and without nnU-Net's number of a single channel. Other numbers stay: BRATS_0003 is a
// case.
std::string CaseName(const std::filesystem::path& file);

// The label maps and images of a folder (and below it), or one file, by case; not the maps
// qc/ID_disagreement of `predict --qc`. Throws DataError when there is none, UsageError when two
// files have one case.
std::map<std::string, std::filesystem::path> FindCases(const std::filesystem::path& path);

// {1: "anterior"} of "1=anterior". Throws UsageError naming `flag`.
std::map<int64_t, std::string> ParseNames(const std::vector<std::string>& names,
                                          const std::string& flag);

}  // namespace orchard::segment
