// The arithmetic of LayerNorm and RMSNorm, shared by cuda/nn/norm.cu and its CPU twin.
//
// Forward, per row of D elements: LayerNorm uses mean m and variance v, RMSNorm m = 0 and v =
// mean(x^2); then with r = 1 / sqrt(v + epsilon), n = (x - m) r and y = n (weight + offset) + bias.
// Backward with g = dy (weight + offset):  dx = r (g - mean(g) - n mean(g n)), without mean(g) for
// RMSNorm; d weight = sum over rows of dy n,  d bias = sum over rows of dy.
#pragma once

#include "base/host_device.h"

namespace orchard::nn {

template <class C>
ORCHARD_HD C Normalised(C x, C mean, C rstd) {
  return (x - mean) * rstd;
}

template <class C>
ORCHARD_HD C NormInputGradient(C g, C normalised, C mean_g, C mean_gn, C rstd) {
  return rstd * (g - mean_g - normalised * mean_gn);
}

}  // namespace orchard::nn
