// A placed ONNX model in files that ONNX Runtime can run: one model per segment, each for one
// device, and a manifest that says in which order and what goes where; or the whole model with the
// device written on every node.
#pragma once

#include <filesystem>

#include "place/cluster.h"
#include "place/graph.h"
#include "place/import/options.h"

namespace orchard::place::onnx {

struct PartsReport {
  int32_t parts = 0;
  int32_t least_parts = 0;     // no cut into segments of one device has fewer
  uint64_t bytes = 0;          // of all files
  int32_t shared_weights = 0;  // that stand in more than one part
};

// Writes `directory`, replacing only what an earlier export left: part_0.onnx, part_1.onnx, ...,
// each with a .data file when the model's weights lie in other files, and manifest.json
// (docs/formats.md). `device` of every operator of `graph`, which was made of `model`. `options`
// are needed where a value between two parts has no stated type. Throws DataError, ResourceError.
PartsReport ExportParts(const std::filesystem::path& model, const Graph& graph,
                        const Cluster& cluster, const std::vector<int32_t>& device,
                        const ImportOptions& options, const std::filesystem::path& directory);

// Writes the model to `output` with one more entry in `metadata_props` of every node, "device" (in
// `doc_string` before IR version 10). All other bytes stay; calls of the model's own functions are
// replaced by their bodies. Weights in other files stay there: `output` belongs in the same folder.
void ExportAnnotated(const std::filesystem::path& model, const Graph& graph, const Cluster& cluster,
                     const std::vector<int32_t>& device, const std::filesystem::path& output);

}  // namespace orchard::place::onnx
