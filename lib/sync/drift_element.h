// One element of the sums in drift_sums.h; for the kernel on the GPU and its twin on the CPU.
#pragma once

#include "base/host_device.h"

namespace orchard::sync {

ORCHARD_HD void AddDrift(float value, float mean, double& apart, double& norm, double& not_finite) {
  const double m = static_cast<double>(mean), difference = static_cast<double>(value) - m;
  const bool finite = difference - difference == 0;
  apart += finite ? difference * difference : 0;
  norm += finite ? m * m : 0;
  not_finite += finite ? 0 : 1;
}

}  // namespace orchard::sync
