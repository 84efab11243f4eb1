#include "place/tensorflow/graph_def_text.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "place/import/protobuf_text.h"

namespace orchard::place::tensorflow {
namespace {

// DataType of types.proto.
int32_t DataTypeOf(std::string_view name) {
  constexpr std::string_view kNames[] = {"INVALID",
                                         "FLOAT",
                                         "DOUBLE",
                                         "INT32",
                                         "UINT8",
                                         "INT16",
                                         "INT8",
                                         "STRING",
                                         "COMPLEX64",
                                         "INT64",
                                         "BOOL",
                                         "QINT8",
                                         "QUINT8",
                                         "QINT32",
                                         "BFLOAT16",
                                         "QINT16",
                                         "QUINT16",
                                         "UINT16",
                                         "COMPLEX128",
                                         "HALF",
                                         "RESOURCE",
                                         "VARIANT",
                                         "UINT32",
                                         "UINT64",
                                         "FLOAT8_E5M2",
                                         "FLOAT8_E4M3FN",
                                         "FLOAT8_E4M3FNUZ",
                                         "FLOAT8_E4M3B11FNUZ",
                                         "FLOAT8_E5M2FNUZ",
                                         "INT4",
                                         "UINT4",
                                         "INT2",
                                         "UINT2",
                                         "FLOAT4_E2M1FN"};
  constexpr std::string_view kPrefix = "DT_", kReference = "_REF";
  if (!name.starts_with(kPrefix)) return -1;
  name.remove_prefix(kPrefix.size());
  const bool reference = name.ends_with(kReference);
  if (reference) name.remove_suffix(kReference.size());
  const auto found = std::ranges::find(kNames, name);
  if (found == std::end(kNames)) return -1;
  return static_cast<int32_t>(found - std::begin(kNames)) + (reference ? kReferenceType : 0);
}

// The messages, with what ParseGraphDef reads of them; graph.proto, node_def.proto,
// attr_value.proto, tensor.proto, tensor_shape.proto, function.proto.
using F = TextField;

constexpr F kDimFields[] = {{.name = "size", .number = 1, .kind = F::kInt}, {.name = "name"}};
constexpr TextMessage kDim = {"TensorShapeProto.Dim", kDimFields};

constexpr F kShapeFields[] = {
    {.name = "dim", .number = 2, .kind = F::kMessage, .repeated = true, .message = &kDim},
    {.name = "unknown_rank", .number = 3, .kind = F::kBool}};
constexpr TextMessage kShape = {"TensorShapeProto", kShapeFields};

// The values of a tensor have many fields, none of which is read.
constexpr F kTensorFields[] = {
    {.name = "tensor_shape", .number = 2, .kind = F::kMessage, .message = &kShape}};
constexpr TextMessage kTensor = {"TensorProto", kTensorFields, /*open=*/true};

constexpr F kListFields[] = {
    {.name = "s", .number = 2, .kind = F::kString, .repeated = true},
    {.name = "i", .repeated = true},
    {.name = "f", .repeated = true},
    {.name = "b", .repeated = true},
    {.name = "type", .number = 6, .kind = F::kEnum, .repeated = true, .value = DataTypeOf},
    {.name = "shape", .number = 7, .kind = F::kMessage, .repeated = true, .message = &kShape},
    {.name = "tensor", .repeated = true},
    {.name = "func", .repeated = true}};
constexpr TextMessage kList = {"AttrValue.ListValue", kListFields};

constexpr F kAttrFields[] = {
    {.name = "list", .number = 1, .kind = F::kMessage, .message = &kList},
    {.name = "s", .number = 2, .kind = F::kString},
    {.name = "i"},
    {.name = "f"},
    {.name = "b", .number = 5, .kind = F::kBool},
    {.name = "type", .number = 6, .kind = F::kEnum, .value = DataTypeOf},
    {.name = "shape", .number = 7, .kind = F::kMessage, .message = &kShape},
    {.name = "tensor", .number = 8, .kind = F::kMessage, .message = &kTensor},
    {.name = "placeholder"},
    {.name = "func"}};
constexpr TextMessage kAttr = {"AttrValue", kAttrFields};

constexpr F kAttrEntryFields[] = {
    {.name = "key", .number = 1, .kind = F::kString},
    {.name = "value", .number = 2, .kind = F::kMessage, .message = &kAttr}};
constexpr TextMessage kAttrEntry = {"attr", kAttrEntryFields};

constexpr F kNodeFields[] = {
    {.name = "name", .number = 1, .kind = F::kString, .required = true},
    {.name = "op", .number = 2, .kind = F::kString, .required = true},
    {.name = "input", .number = 3, .kind = F::kString, .repeated = true},
    {.name = "device", .number = 4, .kind = F::kString},
    {.name = "attr", .number = 5, .kind = F::kMessage, .repeated = true, .message = &kAttrEntry},
    {.name = "experimental_debug_info"},
    {.name = "experimental_type"}};
constexpr TextMessage kNode = {"NodeDef", kNodeFields};

constexpr TextMessage kAnything = {"FunctionDef", {}, /*open=*/true};
constexpr F kLibraryFields[] = {
    {.name = "function", .number = 1, .kind = F::kMessage, .repeated = true, .message = &kAnything},
    {.name = "gradient", .number = 2, .kind = F::kMessage, .repeated = true, .message = &kAnything},
    {.name = "registered_gradients",
     .number = 3,
     .kind = F::kMessage,
     .repeated = true,
     .message = &kAnything}};
constexpr TextMessage kLibrary = {"FunctionDefLibrary", kLibraryFields};

constexpr F kGraphFields[] = {
    {.name = "node", .number = 1, .kind = F::kMessage, .repeated = true, .message = &kNode},
    {.name = "library", .number = 2, .kind = F::kMessage, .message = &kLibrary},
    {.name = "version"},
    {.name = "versions"},
    {.name = "debug_info"}};
constexpr TextMessage kGraph = {"GraphDef", kGraphFields};

}  // namespace

GraphDef ParseGraphDefText(std::string_view text, const std::string& file) {
  auto binary = std::make_shared<const std::string>(ProtobufFromText(text, file, kGraph));
  GraphDef graph = ParseGraphDef(*binary, ProtobufSource{.name = file});
  graph.owned = std::move(binary);
  return graph;
}

}  // namespace orchard::place::tensorflow
