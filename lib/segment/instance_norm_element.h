// The arithmetic of instance norm and leaky ReLU at one voxel and channel, shared with the GPU.
#pragma once

#include "base/host_device.h"

namespace orchard::segment {

// scale = weight rstd, offset = bias - mean scale.
template <class C>
ORCHARD_HD C NormActivation(C x, C scale, C offset, C slope) {
  const C v = x * scale + offset;
  return v > C(0) ? v : v * slope;
}

template <class C>
ORCHARD_HD C NormUnit(C x, C mean, C rstd) {
  return (x - mean) * rstd;
}

// The gradient before the activation, from that behind it.
template <class C>
ORCHARD_HD C ActivationGradient(C unit, C weight, C bias, C dy, C slope) {
  return unit * weight + bias > C(0) ? dy : dy * slope;
}

// The gradient of x. mean_d and mean_product: means over the voxels of d and of d unit.
template <class C>
ORCHARD_HD C NormGradient(C unit, C d, C mean_d, C mean_product, C weight, C rstd) {
  return weight * rstd * (d - mean_d - unit * mean_product);
}

}  // namespace orchard::segment
