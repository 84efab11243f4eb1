#include <array>

#include "place/onnx/model.h"

namespace orchard::place::onnx {
namespace {

struct Element {
  const char* name;
  int32_t bits;
  bool floating;
};

// By TensorProto.DataType.
constexpr std::array<Element, 29> kElements = {{
    {"undefined", 0, false},     {"float", 32, true},     {"uint8", 8, false},
    {"int8", 8, false},          {"uint16", 16, false},   {"int16", 16, false},
    {"int32", 32, false},        {"int64", 64, false},    {"string", 128, false},
    {"bool", 8, false},          {"float16", 16, true},   {"double", 64, true},
    {"uint32", 32, false},       {"uint64", 64, false},   {"complex64", 64, true},
    {"complex128", 128, true},   {"bfloat16", 16, true},  {"float8e4m3fn", 8, true},
    {"float8e4m3fnuz", 8, true}, {"float8e5m2", 8, true}, {"float8e5m2fnuz", 8, true},
    {"uint4", 4, false},         {"int4", 4, false},      {"float4e2m1", 4, true},
    {"float8e8m0", 8, true},     {"uint2", 2, false},     {"int2", 2, false},
    {"float6e2m3", 6, true},     {"float6e3m2", 6, true},
}};

const Element& Find(int32_t type) {
  return kElements[type > 0 && type < static_cast<int32_t>(kElements.size()) ? type : 0];
}

}  // namespace

int32_t ElementBits(int32_t type) { return Find(type).bits; }
bool IsFloating(int32_t type) { return Find(type).floating; }
const char* ElementName(int32_t type) { return Find(type).name; }

int32_t ElementByName(std::string_view name) {
  for (size_t i = 1; i < kElements.size(); ++i) {
    if (name == kElements[i].name) return static_cast<int32_t>(i);
  }
  return 0;
}

}  // namespace orchard::place::onnx
