// The arithmetic of distances along one axis, shared with the GPU.
#pragma once

#include "base/host_device.h"

namespace orchard::volume {

// The squared length of `steps` steps. The product with the spacing is rounded before the square,
// as scipy does it.
template <class T>
ORCHARD_HD T SquaredSteps(T spacing, T steps) {
  const T length = spacing * steps;
  return length * length;
}

}  // namespace orchard::volume
