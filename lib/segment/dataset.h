// Which images and label maps of a folder belong together.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace orchard::segment {

struct LabelName {
  int64_t value = 0;
  std::string name;
  bool operator==(const LabelName&) const = default;
};

// One scan. `images` has a file per channel.
struct CaseFiles {
  std::string id;
  std::string subject;  // scans of one subject share it; the id unless dataset.json says otherwise
  std::vector<std::filesystem::path> images;
  std::filesystem::path labels;
};

struct Dataset {
  std::filesystem::path folder;
  std::string name;
  std::vector<std::string> channels;  // "MRI", "CT", ...; at least one
  std::vector<LabelName> labels;      // foreground, by value: 1, 2, ... K without gaps
  std::vector<CaseFiles> cases;       // by id
  std::vector<std::string> warnings;  // unpaired files, one line each

  int64_t classes() const { return static_cast<int64_t>(labels.size()); }
};

// Finds the labelled cases of a folder in one of these layouts:
//   nnU-Net   imagesTr/ID_0000.nii.gz, labelsTr/ID.nii.gz, dataset.json (channel_names, labels)
//   MSD       imagesTr/ID.nii.gz, labelsTr/ID.nii.gz, dataset.json (modality, labels)
//   plain     images/ID.nii.gz, labels/ID.nii.gz; labels are 1 to the largest that is found
// dataset.json may have "subjects": {ID: SUBJECT}. Images without labels, and labels without an
// image, are left out with a warning. Throws DataError: none of these, no labelled case, label
// values with gaps, a damaged dataset.json.
Dataset FindDataset(const std::filesystem::path& folder);

// The name of a file without its ending and without a channel such as _0000.
std::string CaseId(const std::filesystem::path& file);

}  // namespace orchard::segment
