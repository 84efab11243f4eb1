// Element types of stored tensors, with the names that safetensors uses.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace orchard::io {

enum class DType { kBool, kU8, kI8, kU16, kI16, kU32, kI32, kU64, kI64, kF16, kBF16, kF32, kF64, kF8E4M3, kF8E5M2 };

int64_t ByteSize(DType dtype);
std::string_view Name(DType dtype);                       // "BF16"
std::optional<DType> DTypeFromName(std::string_view name);
constexpr bool IsFloat(DType d) {  // the float types that Orchard computes with (not FP8)
  return d == DType::kF16 || d == DType::kBF16 || d == DType::kF32 || d == DType::kF64;
}

}  // namespace orchard::io
