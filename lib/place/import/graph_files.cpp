// Which reader a file is for.
#include <fmt/format.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/mapped_file.h"
#include "place/import/dot_graph.h"
#include "place/import/hdf5_graph.h"
#include "place/onnx/read_onnx.h"
#include "place/read_graph.h"
#include "place/tensorflow/read_graph_def.h"

namespace orchard::place {
namespace {

enum class Kind { kJson, kHdf5, kDot, kOnnx, kGraphDef, kGraphDefText };

// What the first bytes say; protocol buffers do not say what they are, so names help.
Kind KindOf(std::string_view bytes, const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  if (bytes.starts_with("\x89HDF\r\n\x1a\n")) return Kind::kHdf5;
  if (bytes.starts_with("PK\x03\x04")) {
    throw DataError("an archive, as PyTorch writes, and no graph", path.string(),
                    "baechi-place import turns .pt, .ts and .pt2 files into graphs");
  }
  if (extension == ".onnx") return Kind::kOnnx;
  if (extension == ".pbtxt" || extension == ".prototxt") return Kind::kGraphDefText;
  if (extension == ".dot" || extension == ".gv") return Kind::kDot;
  const size_t text = bytes.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  const std::string_view word = text == bytes.npos ? "" : bytes.substr(text);
  // tf.io.write_graph writes text into files of any name. The binary form cannot begin like this: a
  // node's first key, two bytes behind a newline, is never an 'o'.
  if (word.starts_with("node")) return Kind::kGraphDefText;
  if (extension == ".pb") return Kind::kGraphDef;
  if (word.starts_with('{')) return Kind::kJson;
  if (word.starts_with("digraph") || word.starts_with("strict")) return Kind::kDot;
  if (bytes.starts_with('\x08')) return Kind::kOnnx;  // the IR version, which comes first
  return Kind::kJson;
}

}  // namespace

Graph ReadGraph(const std::filesystem::path& path, const ImportOptions& options,
                ImportReport* report) {
  ImportReport unread;
  ImportReport& found = report ? *report : unread;
  Kind kind;
  {
    const io::MappedFile file(path);
    const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()),
                                 file.bytes().size());
    kind = KindOf(bytes, path);
    if (kind == Kind::kJson || kind == Kind::kDot) {
      found.format = kind == Kind::kJson ? "JSON" : "Graphviz";
      return kind == Kind::kJson ? ParseGraph(bytes, path.string())
                                 : ParseDot(bytes, path.string());
    }
  }
  if (kind == Kind::kOnnx) return onnx::ReadOnnx(path, options, found);
  if (kind == Kind::kGraphDef || kind == Kind::kGraphDefText)
    return tensorflow::ReadGraphDef(path, kind == Kind::kGraphDefText, options, found);
  found.format = "HDF5";
  return ReadHdf5Graph(path);
}

void WriteGraph(const std::filesystem::path& path, const Graph& graph) {
  if (path.extension() == ".h5" || path.extension() == ".hdf5") {
    WriteHdf5Graph(path, graph);
  } else {
    WriteFileAtomically(path, GraphToJson(graph));
  }
}

}  // namespace orchard::place
