// CPU kernels of instance_norm.h on rows of channels.
#pragma once

#include <cstdint>

namespace orchard::segment {

// T is float or double. x, y, dy, dx [batch, rows, channels]; weight, bias [channels]; mean and
// rstd [batch, channels].
template <class T>
struct InstanceNormArgs {
  int64_t batch = 0, rows = 0, channels = 0;
  T slope = 0, epsilon = 0;
  const T *x = nullptr, *weight = nullptr, *bias = nullptr;
  T *mean = nullptr, *rstd = nullptr;
  T* y = nullptr;
};

template <class T>
struct InstanceNormGradientArgs : InstanceNormArgs<T> {
  const T* dy = nullptr;
  T* dx = nullptr;
  T *dweight = nullptr, *dbias = nullptr;  // [channels]
};

// Sums are taken over fixed blocks of rows, in double between blocks: same bits for any number of
// threads.
template <class T>
void InstanceNormForward(const InstanceNormArgs<T>& args);
template <class T>
void InstanceNormBackward(const InstanceNormGradientArgs<T>& args);

}  // namespace orchard::segment
