// Whatever is read as a graph is sound: acyclic, indices in range, and the same after writing and
// reading.
#include <cstdint>
#include <string_view>

#include "fuzz/expect.h"
#include "place/graph.h"
#include "place/read_graph.h"
#include "place/topology.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace fuzz = orchard::fuzz;
  namespace place = orchard::place;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  fuzz::ExpectInputErrors([&] {
    const place::Graph graph = place::ParseGraph(text, "file");
    fuzz::Expect(place::TopologicalOrder(graph.edges, graph.out_begin).size() == graph.ops.size(),
                 "a graph is acyclic");
    for (size_t e = 0; e < graph.edges.size(); ++e) {
      for (int32_t t : graph.TensorsOf(static_cast<int32_t>(e)))
        fuzz::Expect(graph.tensors[t].producer == graph.edges[e].src,
                     "an edge carries tensors of its producer");
    }
    const std::string written = place::GraphToJson(graph);
    fuzz::Expect(place::GraphToJson(place::ParseGraph(written, "again")) == written,
                 "a graph survives writing and reading");
  });
  return 0;
}
