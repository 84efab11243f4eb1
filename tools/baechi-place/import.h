// The options of import, which both executables know, and what only the tensor half can read.
#pragma once

#include <functional>

#include "cli/program.h"
#include "execute/options.h"
#include "place/graph.h"
#include "place/import/options.h"

namespace orchard::baechi_place {

struct ImportCommandOptions {
  std::filesystem::path model_file;
  std::optional<std::filesystem::path> output;
  place::ImportOptions import;
  execute::InputOptions inputs;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("model_file", model_file,
                 "ONNX (.onnx), TorchScript (.pt, .ts), torch.export archive (.pt2), TensorFlow "
                 "GraphDef (.pb), Graphviz (.dot), JSON or HDF5");
    f("output", output,
      "graph file to write: .json, or .h5 for large ones; without: only a summary",
      cli::Letter('o'));
    f.Section("import", import);
    f.Section("inputs", inputs);
  }
};

// Reads a file of PyTorch.
using ReadTorchGraph = std::function<place::Graph(
    const ImportCommandOptions& options, const cli::Context& context, place::ImportReport& report)>;

// Without `read_torch` the tensor half is started for files of PyTorch.
void AddImport(cli::Program& program, const ReadTorchGraph& read_torch = {});

}  // namespace orchard::baechi_place
