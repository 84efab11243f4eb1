// The one door for graphs: `baechi-graph` version 1 as JSON or HDF5 (docs/formats.md), the JSON of
// the public device-placement workloads ("msr": maxFPGAs, nodes, edges), Graphviz, and models in
// ONNX and TensorFlow's GraphDef.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "place/graph.h"
#include "place/import/options.h"

namespace orchard::place {

// Reads any kind; what it is shows in its first bytes, and in its name where those do not tell.
// Throws DataError naming the file and the place in it, UsageError for what `options` leave open.
// `report`, when given, says what was found out about a model.
Graph ReadGraph(const std::filesystem::path& path, const ImportOptions& options = {},
                ImportReport* report = nullptr);

// Writes what ReadGraph reads: HDF5 where the name ends in .h5 or .hdf5, else JSON. Throws
// ResourceError.
void WriteGraph(const std::filesystem::path& path, const Graph& graph);

// JSON of either kind; `where` names it in errors.
Graph ParseGraph(std::string_view text, const std::string& where);

// `baechi-graph` version 1.
std::string GraphToJson(const Graph& graph);

}  // namespace orchard::place
