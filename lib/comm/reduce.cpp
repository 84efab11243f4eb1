#include "comm/reduce.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "base/error.h"
#include "base/half.h"

namespace orchard::comm {
namespace {

// Elements summed at a time: the accumulator stays in the first-level cache.
constexpr int64_t kBlock = 2048;

// int8 has no arithmetic of its own: it sums in float.
template <class T>
auto WidenElement(T x) {
  if constexpr (std::is_same_v<T, int8_t>) {
    return static_cast<float>(x);
  } else {
    return Widen(x);
  }
}

template <class T, class Accumulator>
T NarrowElement(Accumulator x) {
  if constexpr (std::is_same_v<T, int8_t>) {
    // Sums of int8 are whole numbers that F32 holds exactly up to 2^17 ranks: nothing to round.
    return static_cast<int8_t>(std::clamp(x, -128.0f, 127.0f));
  } else {
    return Narrow<T>(x);
  }
}

template <class In, class Out>
void Sum(std::span<const std::byte* const> parts, Out* out, int64_t count) {
  using Accumulator = decltype(WidenElement(In{}));
  Accumulator sum[kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t n = std::min(kBlock, count - begin);
    const In* first = reinterpret_cast<const In*>(parts[0]) + begin;
    for (int64_t i = 0; i < n; ++i) sum[i] = WidenElement(first[i]);
    for (const std::byte* part : parts.subspan(1)) {
      const In* x = reinterpret_cast<const In*>(part) + begin;
      for (int64_t i = 0; i < n; ++i) sum[i] += WidenElement(x[i]);
    }
    for (int64_t i = 0; i < n; ++i) out[begin + i] = NarrowElement<Out>(sum[i]);
  }
}

template <class In>
void SumTo(std::span<const std::byte* const> parts, const Buffer& out) {
  if (out.dtype == io::DType::kF32) {
    Sum<In>(parts, reinterpret_cast<float*>(out.data), out.count);
  } else {
    Sum<In>(parts, reinterpret_cast<In*>(out.data), out.count);
  }
}

}  // namespace

int64_t ElementSize(io::DType dtype) {
  switch (dtype) {
    case io::DType::kU8:
    case io::DType::kI8:
      return 1;
    case io::DType::kBF16:
    case io::DType::kF16:
      return 2;
    case io::DType::kF32:
      return 4;
    case io::DType::kF64:
      return 8;
    default:
      throw Error(ExitCode::kInternal,
                  "communicators carry F64, F32, BF16, F16, I8 and raw bytes only");
  }
}

Range ChunkOf(int64_t count, int size, int rank) {
  const int64_t base = count / size, extra = count % size;
  const int64_t begin = rank * base + std::min<int64_t>(rank, extra);
  return {begin, begin + base + (rank < extra ? 1 : 0)};
}

bool IsSumType(io::DType in, io::DType out) {
  const bool narrow = in == io::DType::kBF16 || in == io::DType::kF16 || in == io::DType::kI8;
  const bool wide = in == io::DType::kF32 || in == io::DType::kF64;
  return (narrow || wide) && (out == in || (narrow && out == io::DType::kF32));
}

void SumInRankOrder(io::DType dtype, std::span<const std::byte* const> parts, Buffer out) {
  if (!IsSumType(dtype, out.dtype)) {
    throw Error(ExitCode::kInternal, "a sum keeps its element type, or widens a short one to F32");
  }
  switch (dtype) {
    case io::DType::kF32:
      return Sum<float>(parts, reinterpret_cast<float*>(out.data), out.count);
    case io::DType::kF64:
      return Sum<double>(parts, reinterpret_cast<double*>(out.data), out.count);
    case io::DType::kBF16:
      return SumTo<BFloat16>(parts, out);
    case io::DType::kF16:
      return SumTo<Float16>(parts, out);
    case io::DType::kI8:
      return SumTo<int8_t>(parts, out);
    default:
      throw Error(ExitCode::kInternal, "raw bytes cannot be summed");
  }
}

}  // namespace orchard::comm
