// The HDF5 twin of the JSON graph file, for graphs of more than about 50,000 operators: one column
// for each property, compressed (docs/formats.md).
#pragma once

#include <filesystem>

#include "place/graph.h"

namespace orchard::place {

// Throws DataError naming file and dataset.
Graph ReadHdf5Graph(const std::filesystem::path& path);

// Throws ResourceError.
void WriteHdf5Graph(const std::filesystem::path& path, const Graph& graph);

}  // namespace orchard::place
