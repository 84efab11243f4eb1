// TensorFlow graphs to place, with what traced steps of them took.
//
// Times: with RunMetadata the median over its files, 1 us for what they do not name; without, from
// shapes as everywhere (analytic_cost.h). Sizes: from the traces, else from `_output_shapes` (as
// tf.Graph.as_graph_def(add_shapes=True) writes), `shape` and constants; 4 bytes where nothing says
// more. The memory of a variable is its output (PersistentMemory::kInOutputs). `_class` gives
// groups, a GPU's number the expert's device; a control edge is 4 bytes.
#pragma once

#include <filesystem>

#include "place/graph.h"
#include "place/import/options.h"
#include "place/tensorflow/graph_def.h"
#include "place/tensorflow/run_metadata.h"

namespace orchard::place::tensorflow {

// `text` says in which of its two formats the message lies there.
// Throws UsageError when the first axis of tensors is open and neither traces nor "batch" of the
// options say how large it is, DataError naming file, byte or node: a node that reads one that is
// not there, a name twice, a cycle, a graph of which nothing says how large or slow anything is.
Graph ReadGraphDef(const std::filesystem::path& path, bool text, const ImportOptions& options,
                   ImportReport& report);

// The same from memory.
Graph ToGraph(const GraphDef& graph, const RunMetadata& traces, const ImportOptions& options,
              ImportReport& report);

}  // namespace orchard::place::tensorflow
