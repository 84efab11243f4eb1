// ORCHARD_HD marks the arithmetic that a CUDA kernel and its CPU twin share. Headers that use it
// stay C++17.
#pragma once

#if defined(__CUDACC__)
#define ORCHARD_HD __host__ __device__ __forceinline__
#else
#define ORCHARD_HD inline __attribute__((always_inline))
#endif
