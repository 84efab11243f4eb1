#include "io/dtype.h"

#include <array>
#include <cstddef>

namespace orchard::io {
namespace {

struct Row {
  std::string_view name;
  int bits;
};

// In the order of the enumeration.
constexpr std::array<Row, 20> kTable = {
    {{"BOOL", 8},    {"U8", 8},      {"I8", 8},      {"U16", 16},    {"I16", 16},
     {"U32", 32},    {"I32", 32},    {"U64", 64},    {"I64", 64},    {"F16", 16},
     {"BF16", 16},   {"F32", 32},    {"F64", 64},    {"F8_E4M3", 8}, {"F8_E5M2", 8},
     {"F8_E8M0", 8}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},      {"C64", 64}}};
static_assert(kTable.size() == static_cast<size_t>(DType::kC64) + 1);

}  // namespace

int64_t BitSize(DType dtype) { return kTable[static_cast<size_t>(dtype)].bits; }

int64_t ByteSize(DType dtype) { return (BitSize(dtype) + 7) / 8; }

std::string_view Name(DType dtype) { return kTable[static_cast<size_t>(dtype)].name; }

std::optional<DType> DTypeFromName(std::string_view name) {
  for (size_t i = 0; i < kTable.size(); ++i) {
    if (kTable[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

}  // namespace orchard::io
