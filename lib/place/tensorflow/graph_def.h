// TensorFlow's GraphDef, read where it lies. Field numbers: graph.proto, node_def.proto,
// attr_value.proto, tensor_shape.proto, types.proto.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "place/import/protobuf.h"

namespace orchard::place::tensorflow {

using TensorShape = std::vector<int64_t>;  // -1: a size that is left open

struct NodeInput {
  std::string_view node;
  int32_t port = 0;  // -1: a control edge
};

struct NodeDef {
  std::string_view name, op, device;
  std::vector<NodeInput> inputs;
  std::vector<std::string_view> groups;                   // of `_class`: what stands behind "loc:@"
  std::vector<std::optional<TensorShape>> output_shapes;  // of `_output_shapes`
  std::optional<TensorShape> shape;                       // of `shape`, or of a constant's value
  int32_t type = 0;                                       // of the outputs (DataType), 0: not said
  std::vector<int32_t> port_types;                        // where every output has its own
  bool transpose_a = false, transpose_b = false;
  std::string_view data_format;
};

struct GraphDef {
  ProtobufSource source;
  std::vector<NodeDef> nodes;
  bool has_functions = false;
  std::shared_ptr<const std::string> owned;  // the bytes, where no file holds them
};

// Throws DataError naming byte or node. The bytes must outlive what is returned.
GraphDef ParseGraphDef(std::string_view bytes, const std::string& file);
// The same of bytes from elsewhere than the start of a file.
GraphDef ParseGraphDef(std::string_view bytes, const ProtobufSource& source);

// TensorShapeProto; nothing where the number of axes is not known.
std::optional<TensorShape> ParseShape(std::string_view bytes, const ProtobufSource& source);

// Bytes of one element; 0 for types whose values have no fixed size. A half byte counts as one.
int32_t ElementBytes(int32_t type);
inline constexpr int32_t kBoolType = 10;
inline constexpr int32_t kReferenceType = 100;  // added to the type of a reference to a variable

// Bytes of a tensor; nothing where a size is open or the type has none. More than 2^60 count as
// that many.
std::optional<int64_t> TensorBytes(const std::optional<TensorShape>& shape, int32_t type);
// Product of the sizes; nothing where one is open.
std::optional<double> Elements(const std::optional<TensorShape>& shape);

}  // namespace orchard::place::tensorflow
