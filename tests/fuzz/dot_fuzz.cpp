// Whatever is read as Graphviz text becomes a sound graph, which its own statements give again.
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz/expect.h"
#include "place/import/dot_graph.h"
#include "place/read_graph.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace fuzz = orchard::fuzz;
  namespace place = orchard::place;
  fuzz::ExpectInputErrors([&] {
    const place::Graph graph = place::ParseDot({reinterpret_cast<const char*>(data), size}, "file");
    std::string text = "digraph {\n" + place::DotConventions(graph);
    for (const place::Op& op : graph.ops) text += place::DotOperator(op) + ";\n";
    for (size_t e = 0; e < graph.edges.size(); ++e) {
      for (int32_t t : graph.TensorsOf(static_cast<int32_t>(e)))
        text += place::DotTensor(graph, graph.edges[e], t, "") + ";\n";
    }
    const place::Graph again = place::ParseDot(text + "}\n", "again");
    fuzz::Expect(place::GraphHash(again) == place::GraphHash(graph),
                 "a graph survives writing and reading");
  });
  return 0;
}
