// TensorFlow's GraphDef in protocol buffers' text format (.pbtxt).
#pragma once

#include <string>
#include <string_view>

#include "place/tensorflow/graph_def.h"

namespace orchard::place::tensorflow {

// The graph that the binary form of the same message gives. Throws DataError naming line and
// column.
GraphDef ParseGraphDefText(std::string_view text, const std::string& file);

}  // namespace orchard::place::tensorflow
