// A trained model on the disk: weights, plan, configuration and templates, all that a prediction
// needs (docs/formats.md).
#pragma once

#include <filesystem>
#include <memory>

#include "segment/template_bank.h"
#include "segment/template_network.h"

namespace orchard::segment {

struct SegmentationModel {
  std::unique_ptr<TemplateNetwork> network;
  TemplateBank bank;
};

// model.safetensors, plan.json, network.json, templates.h5. Makes the directory.
void WriteModelDirectory(const std::filesystem::path& directory, const TemplateNetwork& network,
                         const TemplateBank& bank);

// `path` is such a directory, a run directory with a `final` in it, or a file of export. Throws
// DataError.
SegmentationModel ReadModelDirectory(const std::filesystem::path& path);

}  // namespace orchard::segment
