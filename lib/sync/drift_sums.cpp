#include "sync/drift_sums.h"

#include "sync/drift_element.h"

namespace orchard::sync {

DriftSums SumDrift(int64_t count, const float* values, const float* mean) {
  DriftSums sums;
  for (int64_t i = 0; i < count; ++i) {
    AddDrift(values[i], mean[i], sums.apart, sums.norm, sums.not_finite);
  }
  return sums;
}

}  // namespace orchard::sync
