// How a model file becomes a graph: what the file leaves open, and where times come from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/fields.h"

namespace orchard::place {

// Section `import` of every command that reads a graph. Files that hold a graph already (JSON,
// HDF5, Graphviz) need none of it.
struct ImportOptions {
  std::string preset = "rtx2080";
  std::vector<std::string> dim;
  std::vector<std::string> shape;
  std::vector<std::filesystem::path> run_metadata;

  void Fields(cli::FieldVisitor& f) {
    f("preset", preset, "ONNX, TensorFlow: times of operators as on this device, by their sizes",
      cli::Constraint{.suggestions = "rtx2080 v100 h100 cpu-core"});
    f("dim", dim, "ONNX: sizes that the model leaves open: batch=8, or input:axis=8");
    f("shape", shape, "ONNX: shapes that cannot be found: tensor=8x64x7x7, or tensor=int64:8x10");
    f("run_metadata", run_metadata, "TensorFlow: RunMetadata of traced steps; times are medians");
  }
};

// What reading a model found out, beside the graph.
struct ImportReport {
  std::string format;         // "ONNX", "TensorFlow GraphDef", ...
  int64_t nodes = 0;          // of the file
  int64_t folded = 0;         // nodes that compute only constants and shapes, and are no operators
  int64_t inlined = 0;        // calls of the model's own functions, replaced by their bodies
  double flops = 0;           // of one forward step
  double dense_flops = 0;     // ... of convolutions and products of matrices
  int64_t stated_shapes = 0;  // tensors whose shape the file or the user states
  int64_t inferred_shapes = 0;     // ... and those found by the rules of their operators
  std::vector<std::string> notes;  // what a careful user wants to know, one sentence each
};

}  // namespace orchard::place
