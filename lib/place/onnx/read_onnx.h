// ONNX models as graphs to place.
//
// Every node that computes something in each run is an operator; so is every input of the model
// (type "Input", no time). What a node reads that is known at load time is its parameter: a weight,
// a constant, a shape, or what other nodes compute from such alone. Read by several nodes, it is an
// operator of its own (type "Parameter", no time, in a group with its first reader), so that it is
// held once; up to 4 KiB each reader has a copy.
#pragma once

#include <filesystem>

#include "place/graph.h"
#include "place/import/options.h"
#include "place/onnx/model.h"

namespace orchard::place::onnx {

// Throws UsageError for sizes that the options leave open, DataError for anything wrong with the
// file.
Graph ReadOnnx(const std::filesystem::path& path, const ImportOptions& options,
               ImportReport& report);

// The same of a model in memory.
Graph ToGraph(const Model& model, const ImportOptions& options, ImportReport& report);

}  // namespace orchard::place::onnx
