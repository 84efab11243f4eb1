// An ONNX model as a tree of views into its file: nothing that weighs anything is copied, and the
// payload of weights is never touched. Field numbers: onnx.proto (IR version 3 to 13).
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "place/import/protobuf.h"

namespace orchard::place::onnx {

// As many as NumPy has. A chain of nodes that add an axis each would take the square of its length.
inline constexpr size_t kMaxAxes = 64;
// Throws DataError for more.
void CheckAxes(size_t axes, const std::string& where);

// TensorProto.DataType. Zero is "not known".
enum ElementType : int32_t {
  kUndefined = 0,
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11,
  kBfloat16 = 16
};

// Bits of one element, also of the packed types of 2, 4 and 6 bits. A string counts as 16 bytes. 0
// for a type that is not known.
int32_t ElementBits(int32_t type);
bool IsFloating(int32_t type);
// "float", "int64" ... as the ONNX text format spells them; and back, 0 when there is no such type.
const char* ElementName(int32_t type);
int32_t ElementByName(std::string_view name);

struct Dimension {
  int64_t value = -1;      // -1: open
  std::string_view param;  // its name, where it has one
};

// What the file says of a value (ValueInfoProto).
struct ValueInfo {
  std::string_view bytes, name;
  bool is_tensor = false;  // else a sequence, map, optional or nothing
  bool has_shape = false;
  int32_t element = kUndefined;
  std::vector<Dimension> dims;
};

// A weight or constant (TensorProto). Its values stay in `bytes`.
struct TensorInfo {
  std::string_view bytes, name;
  int32_t element = kUndefined;
  std::vector<int64_t> dims;
  bool sparse = false;  // `bytes` is a SparseTensorProto
  bool has_raw = false;
  bool external = false;      // the values lie in another file
  std::string_view location;  // of that file, relative to the model's folder
  int64_t offset = 0;
  int64_t length = -1;  // -1: not stated

  int64_t elements = 0;      // product of dims
  int64_t ByteSize() const;  // of the values in memory
};

struct GraphInfo;

struct Attribute {
  std::string_view bytes, name;
  std::string_view ref;  // inside a function: the attribute of the call that it stands for
  int32_t type = 0;
  int64_t i = 0;
  float f = 0;
  std::string_view s;
  std::vector<int64_t> ints;
  std::vector<double> floats;
  std::vector<std::string_view> strings;
  std::vector<TensorInfo> tensors;                       // `t`
  std::vector<std::shared_ptr<const GraphInfo>> graphs;  // `g`
};

struct Node {
  std::string_view bytes, name, op_type, domain, overload;
  std::vector<std::string_view> inputs, outputs;  // "" stands for one that is left out
  std::vector<Attribute> attributes;

  const Attribute* Find(std::string_view attribute) const;
  bool standard() const { return domain.empty() || domain == "ai.onnx"; }
  // "Conv", "com.microsoft.Gelu".
  std::string Type() const;
};

struct GraphInfo {
  std::string_view name;
  std::vector<Node> nodes;
  std::vector<TensorInfo> initializers;  // sparse ones too
  std::vector<ValueInfo> inputs, outputs, values;
};

// A function of the model's own (FunctionProto).
struct FunctionInfo {
  std::string_view bytes, name, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<Attribute> defaults;
  std::vector<std::string_view> node_bytes;
  std::map<std::string, int64_t, std::less<>> opsets;
};

struct Model {
  ProtobufSource source;
  int64_t ir_version = 0;
  std::string_view producer, graph_bytes;
  std::map<std::string, int64_t, std::less<>> opsets;  // by domain; "" is the standard one
  GraphInfo graph;
  std::vector<FunctionInfo> functions;
  int64_t inlined = 0;            // calls of functions that were replaced by their bodies
  std::deque<std::string> arena;  // bytes of nodes that are not in the file as they are here

  int64_t Opset(std::string_view domain) const;  // 0: not imported
};

// Reads the structure of a whole model; calls of its own functions are replaced by their bodies.
// `bytes` must outlive it. Throws DataError naming byte or node: not protobuf, no graph, no opset,
// a value that is made twice, subgraphs nested deeper than 32, functions that call themselves.
std::unique_ptr<Model> ParseModel(std::string_view bytes, const std::string& file);

// One message; `depth` is how deep subgraphs are nested already.
Node ParseNode(std::string_view bytes, const ProtobufSource& source, int depth = 0);
TensorInfo ParseTensor(std::string_view bytes, const ProtobufSource& source);
ValueInfo ParseValueInfo(std::string_view bytes, const ProtobufSource& source);

// A name for every node of the main graph: its own where it has one and no other node has it, else
// that of its first output; made different from all others by a number where need be.
std::vector<std::string> NodeNames(const GraphInfo& graph);

// What a node reads, each value once: inputs and what its subgraphs take from outside.
std::vector<std::string_view> ValuesRead(const Node& node);

// Node that makes each value of the main graph.
std::unordered_map<std::string_view, int32_t> Producers(const GraphInfo& graph);

// An order in which the nodes can run: that of the file where it is one. The nodes of a cycle, and
// those behind one, are missing.
std::vector<int32_t> RunningOrder(const GraphInfo& graph,
                                  const std::unordered_map<std::string_view, int32_t>& producers);

// Values of the surrounding graphs that the subgraphs of `node` read, each once, in order.
std::vector<std::string_view> Captures(const Node& node);

}  // namespace orchard::place::onnx
