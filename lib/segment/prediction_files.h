// What predict writes beside a label map.
#pragma once

#include <filesystem>
#include <vector>

#include "io/medical/volume.h"
#include "segment/dataset.h"

namespace orchard::segment {

// `classes` are f32 volumes on one grid, of the background and each label. docs/formats.md:
// probabilities.
void WriteProbabilities(const std::filesystem::path& file, const std::vector<io::Volume>& classes,
                        const std::vector<LabelName>& labels);

// A PNG: three planes through the middle of each label that is there, below each other; through the
// image's middle where there is none.
void WriteOverlay(const std::filesystem::path& file, io::Volume image, const io::Volume& labels,
                  const std::vector<LabelName>& names);

}  // namespace orchard::segment
