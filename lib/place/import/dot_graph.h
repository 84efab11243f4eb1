// Graphs as Graphviz text: what `export --to dot` writes, and what others draw, with the numbers as
// attributes (docs/formats.md).
#pragma once

#include <string>
#include <string_view>

#include "place/graph.h"

namespace orchard::place {

// Reads a directed graph. Throws DataError naming file and line.
Graph ParseDot(std::string_view text, const std::string& where);

// A string as Graphviz quotes it.
std::string DotQuoted(std::string_view text);
// Statements that ParseDot reads the same operator, edge and conventions from; `look` is added to
// the attributes as it is.
std::string DotConventions(const Graph& graph);
std::string DotOperator(const Op& op);
std::string DotTensor(const Graph& graph, const Edge& edge, int32_t tensor,
                      const std::string& look);

}  // namespace orchard::place
