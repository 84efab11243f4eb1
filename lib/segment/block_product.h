// A product of small matrices that are in the cache: the inner loop of attention.
//
// Internal to attention_kernel.cpp. Vectors of 64 bytes are one register with AVX-512, two with
// AVX2. This file is compiled with contraction on: a fused multiply-add is what makes the kernel
// fast, and no other code computes the same sums.
#pragma once

#include <cstdint>

namespace orchard::segment {

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define ORCHARD_BLOCK_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ORCHARD_BLOCK_CLONES
#endif

template <class T>
struct Vector64 {
  typedef T type __attribute__((vector_size(64), aligned(4), may_alias));
};

template <class T>
inline constexpr int64_t kVectorLanes = 64 / sizeof(T);

// One tile: kRows rows and kVectors vectors of columns, held in registers over the depth.
template <class T, int kRows, int kVectors>
[[gnu::always_inline]] inline void Tile(int64_t depth, const T* a, int64_t a_row, int64_t a_step,
                                        const T* b, int64_t b_row, T* c, int64_t c_row, bool add) {
  using V = typename Vector64<T>::type;
  V sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int n = 0; n < kVectors; ++n) {
      V* const at = reinterpret_cast<V*>(c + r * c_row + n * kVectorLanes<T>);
      sum[r][n] = add ? *at : V{};
    }
  for (int64_t d = 0; d < depth; ++d) {
    V columns[kVectors];
    for (int n = 0; n < kVectors; ++n)
      columns[n] = *reinterpret_cast<const V*>(b + d * b_row + n * kVectorLanes<T>);
    for (int r = 0; r < kRows; ++r) {
      const T factor = a[r * a_row + d * a_step];
      for (int n = 0; n < kVectors; ++n) sum[r][n] += columns[n] * factor;
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int n = 0; n < kVectors; ++n)
      *reinterpret_cast<V*>(c + r * c_row + n * kVectorLanes<T>) = sum[r][n];
}

// c [rows, columns] = a [rows, depth] * b [depth, columns], added to c where `add`. rows is a
// multiple of 8, columns of 16; element (r, d) of a is a[r * a_row + d * a_step].
template <class T>
ORCHARD_BLOCK_CLONES void BlockProduct(int64_t rows, int64_t columns, int64_t depth, const T* a,
                                       int64_t a_row, int64_t a_step, const T* b, int64_t b_row,
                                       T* c, int64_t c_row, bool add) {
  constexpr int64_t kLanes = kVectorLanes<T>;
  for (int64_t r = 0; r < rows; r += 8) {
    const T* const a_at = a + r * a_row;
    T* const c_at = c + r * c_row;
    int64_t n = 0;
    for (; n + 2 * kLanes <= columns; n += 2 * kLanes)
      Tile<T, 8, 2>(depth, a_at, a_row, a_step, b + n, b_row, c_at + n, c_row, add);
    for (; n < columns; n += kLanes)
      Tile<T, 8, 1>(depth, a_at, a_row, a_step, b + n, b_row, c_at + n, c_row, add);
  }
}

}  // namespace orchard::segment
