// A GraphDef in protocol buffers' text format.
#include <cstdint>
#include <string_view>

#include "fuzz/expect.h"
#include "place/read_graph.h"
#include "place/tensorflow/graph_def_text.h"
#include "place/tensorflow/read_graph_def.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace fuzz = orchard::fuzz;
  namespace place = orchard::place;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  fuzz::ExpectInputErrors([&] {
    try {
      const place::tensorflow::GraphDef def = place::tensorflow::ParseGraphDefText(text, "file");
      const place::ImportOptions options{.dim = {"batch=2"}};
      place::ImportReport report;
      const place::Graph graph = place::tensorflow::ToGraph(def, {}, options, report);
      const std::string written = place::GraphToJson(graph);
      fuzz::Expect(place::GraphToJson(place::ParseGraph(written, "again")) == written,
                   "a graph survives writing and reading");
    } catch (const orchard::DataError& error) {
      fuzz::Expect(!std::string_view(error.what()).starts_with("damaged protocol buffer"),
                   "text becomes sound binary");
      throw;
    }
  });
  return 0;
}
