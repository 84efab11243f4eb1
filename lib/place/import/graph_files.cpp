// Which reader a file is for.
#include <fmt/format.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/mapped_file.h"
#include "place/onnx/read_onnx.h"
#include "place/read_graph.h"

namespace orchard::place {
namespace {

enum class Kind { kJson, kOnnx };

Kind KindOf(std::string_view bytes, const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  if (extension == ".onnx") return Kind::kOnnx;
  const size_t text = bytes.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (text != bytes.npos && bytes[text] == '{') return Kind::kJson;
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
    if (kind == Kind::kJson) {
      found.format = "JSON";
      return ParseGraph(bytes, path.string());
    }
  }
  return onnx::ReadOnnx(path, options, found);
}

void WriteGraph(const std::filesystem::path& path, const Graph& graph) {
  WriteFileAtomically(path, GraphToJson(graph));
}

}  // namespace orchard::place
