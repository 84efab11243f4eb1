// Element types of stored tensors, with the names that safetensors uses.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace orchard::io {

enum class DType {
  kBool,
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kU64,
  kI64,
  kF16,
  kBF16,
  kF32,
  kF64,
  // Recognised so that such files can be inspected; see `IsSupported`.
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kF6E2M3,
  kF6E3M2,
  kF4,
  kC64,
};

// Bits of one element: 4 and 6 for the packed types, a multiple of 8 for all others.
int64_t BitSize(DType dtype);

// Bytes of one element; 1 for the packed types, whose tensors have no addressable elements.
int64_t ByteSize(DType dtype);

std::string_view Name(DType dtype);  // "BF16"
std::optional<DType> DTypeFromName(std::string_view name);

// The float types that Orchard computes with.
constexpr bool IsFloat(DType d) {
  return d == DType::kF16 || d == DType::kBF16 || d == DType::kF32 || d == DType::kF64;
}

// What Orchard computes with or copies through: all but the 8-bit and smaller floats and complex
// numbers.
constexpr bool IsSupported(DType d) { return d <= DType::kF64; }

}  // namespace orchard::io
