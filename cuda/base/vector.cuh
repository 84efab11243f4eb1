// Vectorised access: a thread moves kVector elements (16 bytes) at once, or one where the address
// or length does not allow it.
#pragma once

#include <cstdint>

#include "base/half.h"

namespace orchard::cuda {

template <class T>
inline constexpr int kVector = 16 / sizeof(T);

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T value[N];
};

// Loads elements [index * N, index * N + N) of `from`, widened.
template <int N, class T, class C>
__device__ __forceinline__ void LoadVector(const T* from, int64_t index, C (&to)[N]) {
  const Pack<T, N> pack = reinterpret_cast<const Pack<T, N>*>(from)[index];
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = static_cast<C>(Widen(pack.value[i]));
}

// Rounds and stores elements [index * N, index * N + N) of `to`.
template <int N, class T, class C>
__device__ __forceinline__ void StoreVector(T* to, int64_t index, const C (&from)[N]) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) pack.value[i] = Narrow<T>(static_cast<ComputeOf<T>>(from[i]));
  reinterpret_cast<Pack<T, N>*>(to)[index] = pack;
}

// Whether rows of `columns` elements of `bytes` each, at all of `pointers` (null ones count as
// fine), can be moved 16 bytes at once.
template <class... Pointers>
bool CanVectorise(int64_t columns, int64_t bytes, Pointers... pointers) {
  return columns * bytes % 16 == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace orchard::cuda
