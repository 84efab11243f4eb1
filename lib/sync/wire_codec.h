// Rounding of narrow messages on the CPU, and what it leaves out. The arguments are also those of
// the CUDA launchers (cuda/sync/wire_codec.h); there the pointers are device pointers. C++17,
// because .cu files read it.
#pragma once

#include <cstdint>

#include "base/half.h"
#include "base/philox.h"
#include "sync/wire_element.h"

namespace orchard::sync {

// codes = the nearest 16-bit numbers of values; values = what they leave out. (K6)
template <class T, class Half>
struct HalfArgs {
  int64_t count = 0;
  T* values = nullptr;
  Half* codes = nullptr;
};
template <class T, class Half>
void EncodeHalf(const HalfArgs<T, Half>& args);

// int8 codes of a chunk: every kWireBlock elements, the last ones perhaps fewer, share a unit
// 2^exponent. (K6)
template <class T>
struct Int8Args {
  int64_t count = 0;
  T* values = nullptr;
  int8_t* exponents = nullptr;  // one per block
  int8_t* codes = nullptr;
  Philox2 key{};  // of the random rounding, by place in the message and stream
  uint64_t first = 0, stream = 0;
};
// exponents = the smallest that the values of each block fit.
template <class T>
void FindExponents(const Int8Args<T>& args);
// codes = values in units, rounded at random; values = what they leave out.
template <class T>
void EncodeInt8(const Int8Args<T>& args);
// values = codes times units.
template <class T>
void DecodeInt8(const Int8Args<T>& args);

inline int64_t WireBlocks(int64_t count) { return (count + kWireBlock - 1) / kWireBlock; }

}  // namespace orchard::sync
