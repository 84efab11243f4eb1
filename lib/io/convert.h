// Stored tensors of any float dtype as float or double, and back; and the search for numbers that
// are none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "io/dtype.h"

namespace orchard::io {

// `source` holds target.size() elements of `dtype`, which must be F16, BF16, F32 or F64, at any
// alignment. To float is exact but for F64, which is rounded to nearest even; to double is exact
// always.
void ToFloats(std::span<const std::byte> source, DType dtype, std::span<float> target);
void ToDoubles(std::span<const std::byte> source, DType dtype, std::span<double> target);

// `target` receives source.size() elements of `dtype`, rounded once to nearest even.
void FromFloats(std::span<const float> source, DType dtype, std::span<std::byte> target);
void FromDoubles(std::span<const double> source, DType dtype, std::span<std::byte> target);

// Index of the first NaN or infinity among the elements of `bytes`; nothing when all are finite or
// `dtype` is not a float type.
std::optional<uint64_t> FirstNonFinite(std::span<const std::byte> bytes, DType dtype);

}  // namespace orchard::io
