// The first byte says what the rest is: 0 for a GraphDef, else a RunMetadata.
#include <cstdint>
#include <string_view>

#include "fuzz/expect.h"
#include "place/read_graph.h"
#include "place/tensorflow/read_graph_def.h"
#include "place/topology.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace fuzz = orchard::fuzz;
  namespace place = orchard::place;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  fuzz::ExpectInputErrors([&] {
    place::tensorflow::RunMetadata traces;
    if (data[0] != 0) {
      traces.AddBytes(bytes, "file");
      return;
    }
    const place::ImportOptions options{.dim = {"batch=2"}};
    place::ImportReport report;
    const place::Graph graph = place::tensorflow::ToGraph(
        place::tensorflow::ParseGraphDef(bytes, "file"), traces, options, report);
    fuzz::Expect(place::TopologicalOrder(graph.edges, graph.out_begin).size() == graph.ops.size(),
                 "a graph is acyclic");
    const std::string written = place::GraphToJson(graph);
    fuzz::Expect(place::GraphToJson(place::ParseGraph(written, "again")) == written,
                 "a graph survives writing and reading");
  });
  return 0;
}
