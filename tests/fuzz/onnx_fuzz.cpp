// Whatever is read as an ONNX model becomes a sound graph, which survives writing and reading, and
// whose nodes can be cut into parts.
#include <cstdint>
#include <string_view>

#include "fuzz/expect.h"
#include "place/onnx/node_devices.h"
#include "place/onnx/read_onnx.h"
#include "place/read_graph.h"
#include "place/topology.h"

namespace orchard::fuzz {
namespace {

namespace place = orchard::place;

void Check(std::string_view bytes) {
  const auto model = place::onnx::ParseModel(bytes, "file");
  const place::ImportOptions options{.dim = {"batch=2", "length=3"}};
  place::ImportReport report;
  const place::Graph graph = place::onnx::ToGraph(*model, options, report);
  Expect(place::TopologicalOrder(graph.edges, graph.out_begin).size() == graph.ops.size(),
         "a graph is acyclic");
  const std::string written = place::GraphToJson(graph);
  Expect(place::GraphToJson(place::ParseGraph(written, "again")) == written,
         "a graph survives writing and reading");
  std::vector<int32_t> device;
  for (int32_t i = 0; i < graph.size(); ++i) device.push_back(i % 2);
  const auto nodes = place::onnx::FindNodeDevices(*model, graph, device);
  Expect(nodes.order.size() == model->graph.nodes.size(), "every node can run");
}

}  // namespace
}  // namespace orchard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  orchard::fuzz::ExpectInputErrors([&] {
    try {
      orchard::fuzz::Check({reinterpret_cast<const char*>(data), size});
    } catch (const orchard::UsageError&) {
      // a size that neither the file nor the options give
    }
  });
  return 0;
}
