#include <fmt/format.h>

#include <protozero/pbf_writer.hpp>

#include "io/mapped_file.h"
#include "place/import/byte_rope.h"
#include "place/onnx/export_parts.h"
#include "place/onnx/node_devices.h"

namespace orchard::place::onnx {
namespace {

// Fields of ModelProto, GraphProto and NodeProto.
constexpr uint32_t kModelGraph = 7, kGraphNode = 1, kNodeDoc = 6, kNodeMetadata = 9;
constexpr int64_t kFirstMetadataVersion = 10;

// The node with its device, as a field of the graph.
void AddNode(const Node& node, const std::string& device, int64_t ir_version,
             const ProtobufSource& source, ByteRope& graph) {
  if (device.empty()) return graph.Field(kGraphNode, node.bytes);
  std::string added;
  protozero::pbf_writer writer(added);
  if (ir_version >= kFirstMetadataVersion) {
    std::string entry;
    protozero::pbf_writer fields(entry);
    fields.add_string(1, "device");
    fields.add_string(2, device);
    writer.add_string(kNodeMetadata, entry);
    graph.Header(kGraphNode, node.bytes.size() + added.size());
    graph.Borrow(node.bytes);
    graph.Own(std::move(added));
    return;
  }
  std::string doc, rest;
  EachField(node.bytes, source, [&](uint32_t field, std::string_view bytes) {
    if (field != kNodeDoc) {
      rest += bytes;
      return;
    }
    ProtobufMessage m(bytes, source);
    m.Next();
    doc = std::string(m.Bytes()) + "\n";
  });
  writer.add_string(kNodeDoc, doc + "device: " + device);
  graph.Header(kGraphNode, rest.size() + added.size());
  graph.Own(rest + added);
}

}  // namespace

void ExportAnnotated(const std::filesystem::path& path, const Graph& graph, const Cluster& cluster,
                     const std::vector<int32_t>& device, const std::filesystem::path& output) {
  const io::MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()),
                               file.bytes().size());
  const auto model = ParseModel(bytes, path.string());
  NodeDevices nodes = FindNodeDevices(*model, graph, device);
  // Constants go with their first reader.
  for (auto i = nodes.order.rbegin(); i != nodes.order.rend(); ++i) {
    for (std::string_view name : ValuesRead(model->graph.nodes[*i])) {
      const auto made = nodes.producer.find(name);
      if (made == nodes.producer.end()) continue;
      const Node& producer = model->graph.nodes[made->second];
      if (nodes.device[made->second] < 0 || producer.inputs.empty())
        nodes.device[made->second] = nodes.device[*i];
    }
  }
  const auto name_of = [&](size_t i) {
    return nodes.device[i] < 0 ? std::string() : cluster.devices[nodes.device[i]].name;
  };
  ByteRope graph_rope;
  bool nodes_written = false;
  EachField(model->graph_bytes, model->source, [&](uint32_t field, std::string_view raw) {
    if (field != kGraphNode) return graph_rope.Borrow(raw);
    if (nodes_written) return;
    nodes_written = true;
    for (size_t i = 0; i < model->graph.nodes.size(); ++i)
      AddNode(model->graph.nodes[i], name_of(i), model->ir_version, model->source, graph_rope);
  });
  ByteRope rope;
  EachField(bytes, model->source, [&](uint32_t field, std::string_view raw) {
    if (field == kModelGraph) {
      rope.Message(kModelGraph, graph_rope);
    } else {
      rope.Borrow(raw);
    }
  });
  rope.Write(output);
}

}  // namespace orchard::place::onnx
