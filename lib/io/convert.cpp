#include "io/convert.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "base/error.h"
#include "base/half.h"

namespace orchard::io {
namespace {

// The loops run over blocks of a constant size, held in local arrays: alignment of the bytes does
// not matter, and the compiler makes vector code of the middle.
constexpr size_t kBlock = 256;

template <class To, class From>
To Convert(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<To, float> || std::is_same_v<To, double>) {
    return static_cast<To>(Widen(value));
  } else if constexpr (std::is_same_v<From, double>) {
    return Narrow<To>(RoundToOdd(value));
  } else {
    return Narrow<To>(value);
  }
}

template <class From, class To>
void ConvertBlock(const From* __restrict from, To* __restrict to) {
  for (size_t i = 0; i < kBlock; ++i) to[i] = Convert<To>(from[i]);
}

template <class From, class To>
void ConvertAll(const std::byte* source, std::byte* target, size_t count) {
  From from[kBlock] = {};
  To to[kBlock];
  for (size_t i = 0; i < count; i += kBlock) {
    const size_t n = std::min(kBlock, count - i);
    std::memcpy(from, source + i * sizeof(From), n * sizeof(From));
    ConvertBlock(from, to);
    std::memcpy(target + i * sizeof(To), to, n * sizeof(To));
  }
}

void CheckSize(size_t bytes, size_t count, DType dtype) {
  if (!IsFloat(dtype) || bytes != count * static_cast<size_t>(ByteSize(dtype))) {
    throw Error(ExitCode::kInternal, "conversion between spans that do not fit",
                std::string(Name(dtype)));
  }
}

template <class To>
void Read(std::span<const std::byte> source, DType dtype, std::span<To> target) {
  CheckSize(source.size(), target.size(), dtype);
  auto* out = reinterpret_cast<std::byte*>(target.data());
  if (dtype == DType::kBF16) return ConvertAll<BFloat16, To>(source.data(), out, target.size());
  if (dtype == DType::kF16) return ConvertAll<Float16, To>(source.data(), out, target.size());
  if (dtype == DType::kF32) return ConvertAll<float, To>(source.data(), out, target.size());
  ConvertAll<double, To>(source.data(), out, target.size());
}

template <class From>
void Write(std::span<const From> source, DType dtype, std::span<std::byte> target) {
  CheckSize(target.size(), source.size(), dtype);
  const auto* in = reinterpret_cast<const std::byte*>(source.data());
  if (dtype == DType::kBF16) return ConvertAll<From, BFloat16>(in, target.data(), source.size());
  if (dtype == DType::kF16) return ConvertAll<From, Float16>(in, target.data(), source.size());
  if (dtype == DType::kF32) return ConvertAll<From, float>(in, target.data(), source.size());
  ConvertAll<From, double>(in, target.data(), source.size());
}

// A number is NaN or infinite when all bits of its exponent are set.
template <class Bits, Bits kExponent>
std::optional<uint64_t> FirstSpecial(std::span<const std::byte> bytes) {
  const size_t count = bytes.size() / sizeof(Bits);
  Bits block[kBlock] = {};
  for (size_t i = 0; i < count; i += kBlock) {
    const size_t n = std::min(kBlock, count - i);
    std::memcpy(block, bytes.data() + i * sizeof(Bits), n * sizeof(Bits));
    Bits largest = 0;
    for (size_t k = 0; k < kBlock; ++k) {
      const Bits exponent = block[k] & kExponent;
      largest = exponent > largest ? exponent : largest;
    }
    if (largest != kExponent) continue;
    for (size_t k = 0; k < n; ++k) {
      if ((block[k] & kExponent) == kExponent) return i + k;
    }
  }
  return std::nullopt;
}

}  // namespace

void ToFloats(std::span<const std::byte> source, DType dtype, std::span<float> target) {
  Read(source, dtype, target);
}

void ToDoubles(std::span<const std::byte> source, DType dtype, std::span<double> target) {
  Read(source, dtype, target);
}

void FromFloats(std::span<const float> source, DType dtype, std::span<std::byte> target) {
  Write(source, dtype, target);
}

void FromDoubles(std::span<const double> source, DType dtype, std::span<std::byte> target) {
  Write(source, dtype, target);
}

std::optional<uint64_t> FirstNonFinite(std::span<const std::byte> bytes, DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return FirstSpecial<uint16_t, 0x7F80>(bytes);
    case DType::kF16:
      return FirstSpecial<uint16_t, 0x7C00>(bytes);
    case DType::kF32:
      return FirstSpecial<uint32_t, 0x7F800000u>(bytes);
    case DType::kF64:
      return FirstSpecial<uint64_t, 0x7FF0000000000000ull>(bytes);
    default:
      return std::nullopt;
  }
}

}  // namespace orchard::io
