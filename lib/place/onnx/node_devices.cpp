#include "place/onnx/node_devices.h"

#include "base/error.h"

namespace orchard::place::onnx {
NodeDevices FindNodeDevices(const Model& model, const Graph& graph,
                            const std::vector<int32_t>& device) {
  NodeDevices nodes;
  const auto& list = model.graph.nodes;
  nodes.producer = Producers(model.graph);
  nodes.order = RunningOrder(model.graph, nodes.producer);
  if (nodes.order.size() < list.size()) throw DataError("the graph has a cycle", model.source.name);
  std::unordered_map<std::string_view, int32_t> op_of;
  size_t expected = 0;
  for (int32_t i = 0; i < graph.size(); ++i) {
    op_of[graph.ops[i].name] = i;
    expected += graph.ops[i].type != "Input" && graph.ops[i].type != "Parameter";
  }
  nodes.device.assign(list.size(), -1);
  const std::vector<std::string> names = NodeNames(model.graph);
  std::vector<bool> is_operator(list.size(), false);
  for (size_t i = 0; i < list.size(); ++i) {
    const auto found = op_of.find(names[i]);
    if (found == op_of.end() || graph.ops[found->second].type != list[i].Type()) continue;
    nodes.device[i] = device[found->second];
    is_operator[i] = true;
    --expected;
  }
  if (expected != 0) {
    throw DataError("the graph was not made of this model: operators and nodes differ",
                    model.source.name, "place the graph that `import` makes of it");
  }
  // A shape belongs where the tensor is; a computation on constants belongs wherever it is needed.
  std::unordered_map<std::string_view, int32_t> input_device;
  for (const ValueInfo& info : model.graph.inputs) {
    const auto found = op_of.find(info.name);
    input_device[info.name] = found == op_of.end() ? 0 : device[found->second];
  }
  for (const TensorInfo& tensor : model.graph.initializers) input_device.erase(tensor.name);
  for (int32_t i : nodes.order) {
    if (is_operator[i]) continue;
    for (std::string_view name : ValuesRead(list[i])) {
      const auto made = nodes.producer.find(name);
      const auto given = input_device.find(name);
      const int32_t from = made != nodes.producer.end()  ? nodes.device[made->second]
                           : given != input_device.end() ? given->second
                                                         : -1;
      if (from < 0) continue;
      nodes.device[i] = from;
      break;
    }
  }
  return nodes;
}

}  // namespace orchard::place::onnx
