#include "place/onnx/node_devices.h"

#include <fmt/format.h>

#include <set>
#include <unordered_set>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::place::onnx {
namespace {

// Node indices in an order in which they can run: that of the file where it is one.
std::vector<int32_t> RunningOrder(const Model& model, const NodeDevices& nodes) {
  const auto& list = model.graph.nodes;
  std::vector<std::vector<int32_t>> readers(list.size());
  std::vector<int32_t> waiting(list.size(), 0), order;
  for (size_t i = 0; i < list.size(); ++i) {
    for (std::string_view name : ValuesRead(list[i])) {
      const auto found = nodes.producer.find(name);
      if (found == nodes.producer.end()) continue;
      readers[found->second].push_back(static_cast<int32_t>(i));
      ++waiting[i];
    }
  }
  std::set<int32_t> ready;
  for (size_t i = 0; i < list.size(); ++i) {
    if (waiting[i] == 0) ready.insert(static_cast<int32_t>(i));
  }
  while (!ready.empty()) {
    const int32_t i = *ready.begin();
    ready.erase(ready.begin());
    order.push_back(i);
    for (int32_t reader : readers[i]) {
      if (--waiting[reader] == 0) ready.insert(reader);
    }
  }
  if (order.size() < list.size()) throw DataError("the graph has a cycle", model.source.name);
  return order;
}

}  // namespace

std::vector<std::string_view> ValuesRead(const Node& node) {
  std::vector<std::string_view> reads;
  std::unordered_set<std::string_view> seen;
  for (std::string_view name : node.inputs) {
    if (!name.empty() && seen.insert(name).second) reads.push_back(name);
  }
  for (std::string_view name : Captures(node)) {
    if (seen.insert(name).second) reads.push_back(name);
  }
  return reads;
}

NodeDevices FindNodeDevices(const Model& model, const Graph& graph,
                            const std::vector<int32_t>& device) {
  NodeDevices nodes;
  const auto& list = model.graph.nodes;
  for (size_t i = 0; i < list.size(); ++i) {
    for (std::string_view output : list[i].outputs) {
      if (!output.empty()) nodes.producer[output] = static_cast<int32_t>(i);
    }
  }
  nodes.order = RunningOrder(model, nodes);
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
