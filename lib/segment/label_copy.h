// Segmentation without learning: the labels of other cases, stretched over an image. What a network
// has to beat.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "segment/prepared_case.h"

namespace orchard::segment {

// The labels of `example` at `size`: each voxel takes the nearest one at the same relative place.
std::vector<uint8_t> CopyLabels(const PreparedCase& example, const volume::Size3& size);

// At each voxel the label that most of the examples copy there, of equal ones the lowest.
std::vector<uint8_t> VoteLabels(std::span<const PreparedCase> cases,
                                std::span<const size_t> examples, const volume::Size3& size,
                                int64_t classes);

// Labels of the box that was prepared as labels of the whole scan, 0 around it.
std::vector<uint8_t> OnWholeScan(std::span<const uint8_t> labels, const CaseFrame& frame);

}  // namespace orchard::segment
