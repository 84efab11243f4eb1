// ORCHARD_SIMD before a function compiles it for AVX2 as well as for the baseline; the loader picks
// by the processor. Results are the same for loops without `omp simd reduction`; with it sums are
// taken in another order.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define ORCHARD_SIMD __attribute__((target_clones("avx2", "default")))
#else
#define ORCHARD_SIMD
#endif
