#include "sync/wire_codec.h"

#include <algorithm>

namespace orchard::sync {

template <class T, class Half>
void EncodeHalf(const HalfArgs<T, Half>& a) {
  for (int64_t i = 0; i < a.count; ++i) a.values[i] = SplitHalf(a.values[i], a.codes[i]);
}

template <class T>
void FindExponents(const Int8Args<T>& a) {
  for (int64_t b = 0; b < WireBlocks(a.count); ++b) {
    const int64_t end = std::min(a.count, (b + 1) * kWireBlock);
    T largest = 0;
    for (int64_t i = b * kWireBlock; i < end; ++i) {
      largest = LargerMagnitude(largest, a.values[i]);
    }
    a.exponents[b] = WireExponent(static_cast<double>(largest));
  }
}

template <class T>
void EncodeInt8(const Int8Args<T>& a) {
  Philox4 random{};
  for (int64_t i = 0; i < a.count; ++i) {
    const uint64_t place = a.first + static_cast<uint64_t>(i);
    if (i == 0 || place % 4 == 0) random = PhiloxAt(a.key, place / 4, a.stream);
    a.values[i] = SplitInt8(a.values[i], a.exponents[i / kWireBlock],
                            UniformFloat(random.word[place % 4]), a.codes[i]);
  }
}

template <class T>
void DecodeInt8(const Int8Args<T>& a) {
  for (int64_t i = 0; i < a.count; ++i) {
    a.values[i] = JoinInt8<T>(a.codes[i], a.exponents[i / kWireBlock]);
  }
}

#define ORCHARD_INSTANTIATE(T)                            \
  template void EncodeHalf(const HalfArgs<T, BFloat16>&); \
  template void EncodeHalf(const HalfArgs<T, Float16>&);  \
  template void FindExponents(const Int8Args<T>&);        \
  template void EncodeInt8(const Int8Args<T>&);           \
  template void DecodeInt8(const Int8Args<T>&);
ORCHARD_INSTANTIATE(float)
ORCHARD_INSTANTIATE(double)
#undef ORCHARD_INSTANTIATE

}  // namespace orchard::sync
