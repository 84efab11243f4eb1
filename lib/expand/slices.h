// Layer ranges in the YAML of mergekit's passthrough merges, the way people write depth up-scaling
// recipes.
#pragma once

#include <filesystem>
#include <vector>

#include "expand/depth.h"

namespace orchard::expand {

// The layers of
//
//   slices:
//     - sources:
//         - layer_range: [0, 24]          # first, and one past the last
//           parameters: {scale: [{filter: o_proj, value: 0.0}, {filter: down_proj, value: 0.0},
//           {value: 1.0}]}
//
// `source` is the number of layers there are. Throws DataError (file:line) for what is not such a
// file, or a range outside the model.
std::vector<LayerPlan> ReadSlices(const std::filesystem::path& path, int64_t source);

}  // namespace orchard::expand
