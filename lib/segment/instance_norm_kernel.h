// CPU kernels of instance_norm.h on rows of channels. The arguments are also those of the CUDA
// launcher (cuda/segment/instance_norm_kernel.h); there the pointers are device pointers. C++17,
// because .cu files read it.
#pragma once

#include <cstdint>

namespace orchard::segment {

// x, y, dy, dx [batch, rows, channels] of T; weight, bias [channels], mean and rstd [batch,
// channels] of C, in which the arithmetic runs. On the CPU both are float or double.
template <class T, class C = T>
struct InstanceNormArgs {
  int64_t batch = 0, rows = 0, channels = 0;
  C slope = 0, epsilon = 0;
  const T* x = nullptr;
  const C *weight = nullptr, *bias = nullptr;
  C *mean = nullptr, *rstd = nullptr;
  T* y = nullptr;
};

template <class T, class C = T>
struct InstanceNormGradientArgs : InstanceNormArgs<T, C> {
  const T* dy = nullptr;
  T* dx = nullptr;
  C *dweight = nullptr, *dbias = nullptr;  // [channels]
};

// Sums are taken over fixed blocks of rows, in double between blocks: same bits for any number of
// threads.
template <class T>
void InstanceNormForward(const InstanceNormArgs<T>& args);
template <class T>
void InstanceNormBackward(const InstanceNormGradientArgs<T>& args);

}  // namespace orchard::segment
