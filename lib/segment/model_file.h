// A trained model as a single file, to hand on: weights, plan, configuration and templates in one
// safetensors file (docs/formats.md).
#pragma once

#include <filesystem>

#include "segment/export_model_options.h"
#include "segment/model_directory.h"

namespace orchard::segment {

// Templates keep their order.
void WriteModelFile(const std::filesystem::path& file, const TemplateNetwork& network,
                    const TemplateBank& bank, WeightType type);
// Throws DataError: not such a file, tensors missing or of other shapes.
SegmentationModel ReadModelFile(const std::filesystem::path& file);

}  // namespace orchard::segment
