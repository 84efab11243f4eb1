// The arithmetic of copy divergence, shared by cuda/expand/copy_divergence.cu and its CPU twin.
#pragma once

#include <cmath>

#include "base/host_device.h"

namespace orchard::expand {

// From sum (u - u')^2 and sum u^2.
ORCHARD_HD double DivergenceOf(double difference, double norm) {
  return difference == 0 ? 0.0 : sqrt(difference / norm);
}

}  // namespace orchard::expand
