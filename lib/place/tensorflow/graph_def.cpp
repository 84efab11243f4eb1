#include "place/tensorflow/graph_def.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::place::tensorflow {
namespace {

NodeInput ParseInput(std::string_view text) {
  if (text.starts_with('^')) return {text.substr(1), -1};
  NodeInput input{text, 0};
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return input;
  int32_t port = 0;
  const auto result = std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
  if (result.ec == std::errc() && result.ptr == text.data() + text.size() && port >= 0)
    return {text.substr(0, colon), port};
  return input;
}

// The shape of a TensorProto.
std::optional<TensorShape> ShapeOfTensor(std::string_view bytes, const ProtobufSource& source) {
  std::optional<TensorShape> shape = TensorShape();
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    if (m.field() == 2) shape = ParseShape(m.Bytes(), source);
  }
  return shape;
}

// Which attribute says the type of the outputs; the earlier one wins.
int TypeRank(std::string_view key) {
  constexpr std::string_view kKeys[] = {"DstT",    "dtype", "out_type", "output_type",
                                        "Tparams", "T",     "SrcT"};
  const auto found = std::find(std::begin(kKeys), std::end(kKeys), key);
  return found == std::end(kKeys) ? -1 : static_cast<int>(found - std::begin(kKeys));
}

class AttributeReader {
 public:
  AttributeReader(NodeDef& node, const ProtobufSource& source) : node_(node), source_(source) {}

  // An entry of the map `attr`. As in every protobuf map, the last entry of a key counts, and their
  // order means nothing.
  void Add(std::string_view bytes) {
    std::string_view key, value;
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      if (m.field() == 1) key = m.Bytes();
      if (m.field() == 2) value = m.Bytes();
    }
    values_[key] = value;
  }

  // After the last entry.
  void Finish() {
    for (const auto& [key, value] : values_) Read(key, value);
  }

 private:
  void Read(std::string_view key, std::string_view value) {
    ProtobufMessage v(value, source_);
    while (v.Next()) {
      switch (v.field()) {
        case 1:
          ReadList(key, v.Bytes());
          break;
        case 2:
          if (key == "data_format") node_.data_format = v.Bytes();
          break;
        case 5:
          if (key == "transpose_a" || key == "adj_x")
            node_.transpose_a = v.Int() != 0;
          else if (key == "transpose_b" || key == "adj_y")
            node_.transpose_b = v.Int() != 0;
          break;
        case 6:
          TakeType(key, static_cast<int32_t>(v.Int()));
          break;
        case 7:
          if (key == "shape") node_.shape = ParseShape(v.Bytes(), source_);
          break;
        case 8:
          if (key == "value") node_.shape = ShapeOfTensor(v.Bytes(), source_);
          break;
        default:
          break;
      }
    }
  }

  void TakeType(std::string_view key, int32_t type) {
    const int rank = TypeRank(key);
    if (rank < 0 || (rank_ >= 0 && rank_ < rank)) return;
    rank_ = rank;
    node_.type = type;
  }

  void ReadList(std::string_view key, std::string_view bytes) {
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      if (key == "_class" && m.field() == 2) {
        constexpr std::string_view kPrefix = "loc:@";
        const std::string_view text = m.Bytes();
        if (text.starts_with(kPrefix)) node_.groups.push_back(text.substr(kPrefix.size()));
      } else if (key == "_output_shapes" && m.field() == 7) {
        node_.output_shapes.push_back(ParseShape(m.Bytes(), source_));
      } else if ((key == "output_types" || key == "component_types" || key == "Tout") &&
                 m.field() == 6) {
        std::vector<int64_t> types;
        m.AppendInts(types);
        for (int64_t type : types) node_.port_types.push_back(static_cast<int32_t>(type));
      }
    }
  }

  NodeDef& node_;
  const ProtobufSource& source_;
  std::map<std::string_view, std::string_view> values_;
  int rank_ = -1;
};

// Comparisons state the type of their inputs; they make truth values.
bool MakesTruth(std::string_view op) {
  constexpr std::string_view kOps[] = {"Equal",      "NotEqual",     "Less",       "LessEqual",
                                       "Greater",    "GreaterEqual", "LogicalAnd", "LogicalOr",
                                       "LogicalNot", "IsNan",        "IsInf",      "IsFinite"};
  return std::find(std::begin(kOps), std::end(kOps), op) != std::end(kOps);
}

NodeDef ParseNode(std::string_view bytes, const ProtobufSource& source) {
  NodeDef node;
  AttributeReader attributes(node, source);
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    switch (m.field()) {
      case 1:
        node.name = m.Bytes();
        break;
      case 2:
        node.op = m.Bytes();
        break;
      case 3:
        node.inputs.push_back(ParseInput(m.Bytes()));
        break;
      case 4:
        node.device = m.Bytes();
        break;
      case 5:
        attributes.Add(m.Bytes());
        break;
      default:
        break;
    }
  }
  attributes.Finish();
  if (node.name.empty()) throw DataError("a node without a name", source.Where(bytes.data()));
  if (node.op.empty())
    throw DataError("a node without an operation",
                    source.Where(bytes.data()) + " (" + io::Quoted(node.name) + ")");
  if (MakesTruth(node.op)) node.type = kBoolType;
  return node;
}

}  // namespace

std::optional<TensorShape> ParseShape(std::string_view bytes, const ProtobufSource& source) {
  TensorShape shape;
  bool unknown = false;
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    if (m.field() == 3) unknown = m.Int() != 0;
    if (m.field() != 2) continue;
    int64_t size = 0;
    ProtobufMessage dim(m.Bytes(), source);
    while (dim.Next()) {
      if (dim.field() == 1) size = dim.Int();
    }
    shape.push_back(std::max<int64_t>(-1, size));
  }
  constexpr size_t kMostAxes = 254;  // TensorShape::MaxDimensions()
  if (shape.size() > kMostAxes) {
    throw DataError(fmt::format("a shape of {} axes ({} are possible)", shape.size(), kMostAxes),
                    source.Where(bytes.data()));
  }
  if (unknown) return std::nullopt;
  return shape;
}

GraphDef ParseGraphDef(std::string_view bytes, const std::string& file) {
  return ParseGraphDef(bytes, ProtobufSource{file, bytes.data(), bytes.size()});
}

GraphDef ParseGraphDef(std::string_view bytes, const ProtobufSource& source) {
  GraphDef graph;
  graph.source = source;
  ProtobufMessage m(bytes, graph.source);
  while (m.Next()) {
    if (m.field() == 1) graph.nodes.push_back(ParseNode(m.Bytes(), graph.source));
    if (m.field() == 2) graph.has_functions = graph.has_functions || !m.Bytes().empty();
  }
  if (graph.nodes.empty()) throw DataError("no TensorFlow GraphDef: it has no nodes", source.name);
  return graph;
}

int32_t ElementBytes(int32_t type) {
  if (type > kReferenceType) type -= kReferenceType;
  constexpr int32_t kBytes[] = {0, 4,  8, 4, 1, 2, 1, 0, 8, 8, 1, 1, 1, 4, 2, 2, 2,
                                2, 16, 2, 0, 0, 4, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  return type > 0 && type < static_cast<int32_t>(std::size(kBytes)) ? kBytes[type] : 0;
}

std::optional<double> Elements(const std::optional<TensorShape>& shape) {
  if (!shape) return std::nullopt;
  double elements = 1;
  for (int64_t n : *shape) {
    if (n < 0) return std::nullopt;
    elements *= static_cast<double>(n);
  }
  return elements;
}

std::optional<int64_t> TensorBytes(const std::optional<TensorShape>& shape, int32_t type) {
  const auto elements = Elements(shape);
  if (!elements || ElementBytes(type) == 0) return std::nullopt;
  constexpr int64_t kMost = int64_t{1} << 60;
  const double bytes = *elements * ElementBytes(type);
  return bytes < static_cast<double>(kMost) ? static_cast<int64_t>(bytes) : kMost;
}

}  // namespace orchard::place::tensorflow
