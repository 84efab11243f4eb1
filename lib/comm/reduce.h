// The arithmetic of every reduction on the CPU: one function, so that simulated ranks and MPI
// processes give the same bits.
#pragma once

#include <cstddef>
#include <span>

#include "comm/buffer.h"

namespace orchard::comm {

// True when elements of `in` can be summed to `out`: the same type, or F32 for BF16, F16 and I8.
bool IsSumType(io::DType in, io::DType out);

// out[i] = ((parts[0][i] + parts[1][i]) + parts[2][i]) + ..., in rank order.
//
//   parts  one pointer per rank to out.count elements of `dtype`
//   out    of a type that IsSumType allows; may be the same memory as one of the parts
// F32 sums in F32 and F64 in F64. BF16, F16 and I8 sum in F32; then the floats are rounded once, to
// nearest even, and I8 saturates at -128 and 127. Throws Error for other types.
void SumInRankOrder(io::DType dtype, std::span<const std::byte* const> parts, Buffer out);

}  // namespace orchard::comm
