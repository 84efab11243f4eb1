#include "place/onnx/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "io/printable.h"
#include "place/onnx/functions.h"

namespace orchard::place::onnx {
namespace {

constexpr int kMaxDepth = 32;
constexpr int64_t kMaxElements = int64_t{1} << 60;

GraphInfo ParseGraph(std::string_view bytes, const ProtobufSource& source, int depth);

// A key and a value (StringStringEntryProto).
std::pair<std::string_view, std::string_view> ParseEntry(std::string_view bytes,
                                                         const ProtobufSource& source) {
  std::pair<std::string_view, std::string_view> entry;
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    if (m.field() == 1) entry.first = m.Bytes();
    if (m.field() == 2) entry.second = m.Bytes();
  }
  return entry;
}

int64_t ParseCount(std::string_view text, std::string_view key, const ProtobufSource& source) {
  int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size() || value < 0) {
    throw DataError(fmt::format("{} of an external tensor is {}", key, io::Quoted(text)),
                    source.Where(text.data()));
  }
  return value;
}

int64_t CountElements(const std::vector<int64_t>& dims, const std::string& where) {
  CheckAxes(dims.size(), where);
  int64_t elements = 1;
  for (int64_t dim : dims) {
    if (dim < 0 || dim > kMaxElements)
      throw DataError(fmt::format("a dimension is {}", dim), where);
    if (__builtin_mul_overflow(elements, dim, &elements) || elements > kMaxElements)
      throw DataError("the tensor has more than 2^60 elements", where);
  }
  return elements;
}

// SparseTensorProto: counted as the dense tensor that a runtime makes of it.
TensorInfo ParseSparse(std::string_view bytes, const ProtobufSource& source) {
  TensorInfo values;
  std::vector<int64_t> dims;
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    if (m.field() == 1) values = ParseTensor(m.Bytes(), source);
    if (m.field() == 3) m.AppendInts(dims);
  }
  values.dims = std::move(dims);
  values.elements = CountElements(values.dims, source.Where(bytes.data()));
  if (ElementBits(values.element) == 0)
    throw DataError("a sparse tensor without values", source.Where(bytes.data()));
  values.bytes = bytes;
  values.sparse = true;
  return values;
}

void ParseShape(std::string_view bytes, const ProtobufSource& source, ValueInfo& info) {
  info.has_shape = true;
  ProtobufMessage shape(bytes, source);
  while (shape.Next()) {
    if (shape.field() != 1) continue;
    Dimension dimension;
    ProtobufMessage m(shape.Bytes(), source);
    while (m.Next()) {
      if (m.field() == 1) dimension.value = std::max<int64_t>(-1, m.Int());
      if (m.field() == 2) dimension.param = m.Bytes();
    }
    if (!dimension.param.empty()) dimension.value = -1;
    info.dims.push_back(dimension);
  }
  if (info.dims.size() > kMaxAxes) CheckAxes(info.dims.size(), source.Where(bytes.data()));
}

Attribute ParseAttribute(std::string_view bytes, const ProtobufSource& source, int depth) {
  Attribute attribute{.bytes = bytes};
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    switch (m.field()) {
      case 1:
        attribute.name = m.Bytes();
        break;
      case 2:
        attribute.f = m.Float();
        break;
      case 3:
        attribute.i = m.Int();
        break;
      case 4:
        attribute.s = m.Bytes();
        break;
      case 5:
        attribute.tensors.push_back(ParseTensor(m.Bytes(), source));
        break;
      case 22:
        attribute.tensors.push_back(ParseSparse(m.Bytes(), source));
        break;
      case 6:
      case 11:
        attribute.graphs.push_back(
            std::make_shared<GraphInfo>(ParseGraph(m.Bytes(), source, depth + 1)));
        break;
      case 7:
        m.AppendFloats(attribute.floats);
        break;
      case 8:
        m.AppendInts(attribute.ints);
        break;
      case 9:
        attribute.strings.push_back(m.Bytes());
        break;
      case 20:
        attribute.type = static_cast<int32_t>(m.Int());
        break;
      case 21:
        attribute.ref = m.Bytes();
        break;
      default:
        break;
    }
  }
  return attribute;
}

GraphInfo ParseGraph(std::string_view bytes, const ProtobufSource& source, int depth) {
  if (depth > kMaxDepth)
    throw DataError(fmt::format("subgraphs nest deeper than {}", kMaxDepth),
                    source.Where(bytes.data()));
  GraphInfo graph;
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    switch (m.field()) {
      case 1:
        graph.nodes.push_back(ParseNode(m.Bytes(), source, depth));
        break;
      case 2:
        graph.name = m.Bytes();
        break;
      case 5:
        graph.initializers.push_back(ParseTensor(m.Bytes(), source));
        break;
      case 15:
        graph.initializers.push_back(ParseSparse(m.Bytes(), source));
        break;
      case 11:
        graph.inputs.push_back(ParseValueInfo(m.Bytes(), source));
        break;
      case 12:
        graph.outputs.push_back(ParseValueInfo(m.Bytes(), source));
        break;
      case 13:
        graph.values.push_back(ParseValueInfo(m.Bytes(), source));
        break;
      default:
        break;
    }
  }
  return graph;
}

void ParseOpset(std::string_view bytes, const ProtobufSource& source,
                std::map<std::string, int64_t, std::less<>>& opsets) {
  std::string domain;
  int64_t version = 0;
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    if (m.field() == 1) domain = m.Bytes();
    if (m.field() == 2) version = m.Int();
  }
  opsets[domain == "ai.onnx" ? "" : domain] = version;
}

FunctionInfo ParseFunction(std::string_view bytes, const ProtobufSource& source) {
  FunctionInfo function{.bytes = bytes};
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    switch (m.field()) {
      case 1:
        function.name = m.Bytes();
        break;
      case 4:
        function.inputs.push_back(m.Bytes());
        break;
      case 5:
        function.outputs.push_back(m.Bytes());
        break;
      case 7:
        function.node_bytes.push_back(m.Bytes());
        break;
      case 9:
        ParseOpset(m.Bytes(), source, function.opsets);
        break;
      case 10:
        function.domain = m.Bytes();
        break;
      case 11:
        function.defaults.push_back(ParseAttribute(m.Bytes(), source, 0));
        break;
      case 13:
        function.overload = m.Bytes();
        break;
      default:
        break;
    }
  }
  return function;
}

// Values of a graph are made once (static single assignment): everything later relies on it.
void CheckNames(const GraphInfo& graph, const ProtobufSource& source) {
  std::unordered_set<std::string_view> made;
  for (const TensorInfo& tensor : graph.initializers) {
    if (!made.insert(tensor.name).second)
      throw DataError("two initializers are called " + io::Quoted(tensor.name), source.name);
  }
  for (const ValueInfo& input : graph.inputs) made.insert(input.name);
  for (const Node& node : graph.nodes) {
    for (std::string_view output : node.outputs) {
      if (output.empty() || made.insert(output).second) continue;
      throw DataError("the value " + io::Quoted(output) + " is made twice",
                      fmt::format("{}: node {} ({})", source.name, io::Quoted(node.name),
                                  io::Printable(node.Type())));
    }
  }
}

}  // namespace

const Attribute* Node::Find(std::string_view attribute) const {
  for (const Attribute& a : attributes) {
    if (a.name == attribute) return &a;
  }
  return nullptr;
}

std::string Node::Type() const {
  return standard() ? std::string(op_type) : fmt::format("{}.{}", domain, op_type);
}

int64_t Model::Opset(std::string_view domain) const {
  const auto found = opsets.find(domain);
  return found == opsets.end() ? 0 : found->second;
}

int64_t TensorInfo::ByteSize() const {
  // elements <= 2^60 and bits <= 128: exact in 128 bits.
  const auto bits = static_cast<__int128>(elements) * ElementBits(element);
  const auto bytes = (bits + 7) / 8;
  return bytes > kMaxElements ? kMaxElements : static_cast<int64_t>(bytes);
}

ValueInfo ParseValueInfo(std::string_view bytes, const ProtobufSource& source) {
  ValueInfo info{.bytes = bytes};
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    if (m.field() == 1) info.name = m.Bytes();
    if (m.field() != 2) continue;
    ProtobufMessage type(m.Bytes(), source);
    while (type.Next()) {
      if (type.field() != 1) continue;
      info.is_tensor = true;
      ProtobufMessage tensor(type.Bytes(), source);
      while (tensor.Next()) {
        if (tensor.field() == 1) info.element = static_cast<int32_t>(tensor.Int());
        if (tensor.field() == 2) ParseShape(tensor.Bytes(), source, info);
      }
    }
  }
  return info;
}

TensorInfo ParseTensor(std::string_view bytes, const ProtobufSource& source) {
  TensorInfo tensor{.bytes = bytes};
  size_t raw_size = 0;
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    switch (m.field()) {
      case 1:
        m.AppendInts(tensor.dims);
        break;
      case 2:
        tensor.element = static_cast<int32_t>(m.Int());
        break;
      case 8:
        tensor.name = m.Bytes();
        break;
      case 9:
        tensor.has_raw = true;
        raw_size = m.Bytes().size();
        break;
      case 13: {
        const auto [key, value] = ParseEntry(m.Bytes(), source);
        if (key == "location") tensor.location = value;
        if (key == "offset") tensor.offset = ParseCount(value, key, source);
        if (key == "length") tensor.length = ParseCount(value, key, source);
        break;
      }
      case 14:
        tensor.external = m.Int() == 1;
        break;
      default:
        break;
    }
  }
  const std::string where =
      source.Where(bytes.data()) + " (tensor " + io::Quoted(tensor.name) + ")";
  if (ElementBits(tensor.element) == 0)
    throw DataError(fmt::format("element type {} is not known", tensor.element), where);
  tensor.elements = CountElements(tensor.dims, where);
  const auto size = static_cast<uint64_t>(tensor.ByteSize());
  if (tensor.has_raw && raw_size != size && tensor.element != kString)
    throw DataError(fmt::format("{} bytes of values where {} are needed", raw_size, size), where);
  if (tensor.external && tensor.length >= 0 && static_cast<uint64_t>(tensor.length) != size) {
    throw DataError(
        fmt::format("{} bytes of external values where {} are needed", tensor.length, size), where);
  }
  return tensor;
}

Node ParseNode(std::string_view bytes, const ProtobufSource& source, int depth) {
  Node node{.bytes = bytes};
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    switch (m.field()) {
      case 1:
        node.inputs.push_back(m.Bytes());
        break;
      case 2:
        node.outputs.push_back(m.Bytes());
        break;
      case 3:
        node.name = m.Bytes();
        break;
      case 4:
        node.op_type = m.Bytes();
        break;
      case 5:
        node.attributes.push_back(ParseAttribute(m.Bytes(), source, depth));
        break;
      case 7:
        node.domain = m.Bytes();
        break;
      case 8:
        node.overload = m.Bytes();
        break;
      default:
        break;
    }
  }
  if (node.op_type.empty())
    throw DataError("a node without an operator type", source.Where(bytes.data()));
  return node;
}

std::unique_ptr<Model> ParseModel(std::string_view bytes, const std::string& file) {
  auto model = std::make_unique<Model>();
  model->source = {file, bytes.data(), bytes.size()};
  bool has_graph = false;
  ProtobufMessage m(bytes, model->source);
  while (m.Next()) {
    switch (m.field()) {
      case 1:
        model->ir_version = m.Int();
        break;
      case 2:
        model->producer = m.Bytes();
        break;
      case 7:
        if (has_graph) throw DataError("the model has two graphs", file);
        has_graph = true;
        model->graph_bytes = m.Bytes();
        model->graph = ParseGraph(model->graph_bytes, model->source, 0);
        break;
      case 8:
        ParseOpset(m.Bytes(), model->source, model->opsets);
        break;
      case 25:
        model->functions.push_back(ParseFunction(m.Bytes(), model->source));
        break;
      default:
        break;
    }
  }
  if (!has_graph) throw DataError("no ONNX model: it has no graph", file);
  if (model->opsets.empty()) {
    throw DataError("no ONNX model: it does not say which operator set it uses", file,
                    "the file may be cut short");
  }
  InlineFunctions(*model);
  CheckNames(model->graph, model->source);
  return model;
}

std::vector<std::string> NodeNames(const GraphInfo& graph) {
  std::unordered_map<std::string_view, int> own;
  for (const Node& node : graph.nodes) ++own[node.name];
  std::vector<std::string> names;
  std::unordered_set<std::string> taken;
  std::unordered_map<std::string, int> copies;
  for (const Node& node : graph.nodes) {
    std::string name(node.name);
    if (name.empty() || own[node.name] > 1) {
      const auto output = std::find_if(node.outputs.begin(), node.outputs.end(),
                                       [](std::string_view o) { return !o.empty(); });
      name = output == node.outputs.end() ? std::string(node.op_type) : std::string(*output);
    }
    std::string unique = name;
    while (!taken.insert(unique).second) unique = fmt::format("{}_{}", name, ++copies[name] + 1);
    names.push_back(std::move(unique));
  }
  return names;
}

namespace {

// Values that `graph` reads and does not make itself.
void AddFree(const GraphInfo& graph, std::vector<std::string_view>& free,
             std::unordered_set<std::string_view>& seen) {
  std::unordered_set<std::string_view> made;
  for (const ValueInfo& input : graph.inputs) made.insert(input.name);
  for (const TensorInfo& tensor : graph.initializers) made.insert(tensor.name);
  const auto read = [&](std::string_view name) {
    if (!name.empty() && !made.contains(name) && seen.insert(name).second) free.push_back(name);
  };
  for (const Node& node : graph.nodes) {
    for (std::string_view input : node.inputs) read(input);
    for (std::string_view name : Captures(node)) read(name);
    made.insert(node.outputs.begin(), node.outputs.end());
  }
  for (const ValueInfo& output : graph.outputs) read(output.name);
}

}  // namespace

void CheckAxes(size_t axes, const std::string& where) {
  if (axes > kMaxAxes)
    throw DataError(fmt::format("a tensor of {} axes ({} are possible)", axes, kMaxAxes), where);
}

std::vector<std::string_view> Captures(const Node& node) {
  std::vector<std::string_view> free;
  std::unordered_set<std::string_view> seen;
  for (const Attribute& attribute : node.attributes) {
    for (const auto& graph : attribute.graphs) AddFree(*graph, free, seen);
  }
  return free;
}

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

std::unordered_map<std::string_view, int32_t> Producers(const GraphInfo& graph) {
  std::unordered_map<std::string_view, int32_t> producers;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (std::string_view output : graph.nodes[i].outputs) {
      if (!output.empty()) producers[output] = static_cast<int32_t>(i);
    }
  }
  return producers;
}

std::vector<int32_t> RunningOrder(const GraphInfo& graph,
                                  const std::unordered_map<std::string_view, int32_t>& producers) {
  const auto& nodes = graph.nodes;
  std::vector<std::vector<int32_t>> readers(nodes.size());
  std::vector<int32_t> waiting(nodes.size(), 0), order;
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (std::string_view name : ValuesRead(nodes[i])) {
      const auto made = producers.find(name);
      if (made == producers.end()) continue;
      readers[made->second].push_back(static_cast<int32_t>(i));
      ++waiting[i];
    }
  }
  std::set<int32_t> ready;
  for (size_t i = 0; i < nodes.size(); ++i) {
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
  return order;
}

}  // namespace orchard::place::onnx
