// Graph files: `baechi-graph` version 1 (docs/formats.md) and the JSON of the public
// device-placement workloads ("msr": maxFPGAs, nodes, edges).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "place/graph.h"

namespace orchard::place {

// Reads either kind; what it is shows in its keys. Throws DataError naming the file and the JSON
// path.
Graph ReadGraph(const std::filesystem::path& path);

// The same from text; `where` names it in errors.
Graph ParseGraph(std::string_view text, const std::string& where);

// `baechi-graph` version 1.
std::string GraphToJson(const Graph& graph);

}  // namespace orchard::place
