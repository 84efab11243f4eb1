// How far a rank's model is from the mean model, on the CPU; the CUDA launcher is
// cuda/sync/drift_sums.h. C++17, because .cu files read it.
#pragma once

#include <cstdint>

namespace orchard::sync {

struct DriftSums {
  double apart = 0;       // sum (x - mean)^2
  double norm = 0;        // sum mean^2
  double not_finite = 0;  // elements of x that are infinite or NaN; they are in no sum
};

// Sums in double over `count` elements. (K7)
DriftSums SumDrift(int64_t count, const float* values, const float* mean);

}  // namespace orchard::sync
