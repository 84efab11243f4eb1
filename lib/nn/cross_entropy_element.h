// The arithmetic of softmax cross-entropy, shared by cuda/nn/cross_entropy.cu and its CPU twin.
//
// With z = log sum exp(x), smoothing s and C classes:
//   loss = (1 - s) (z - x[target]) + s (z - mean(x)),   d loss / d x[c] = exp(x[c] - z) - (1 - s)
//   [c = target] - s / C.
#pragma once

#include "base/elementary.h"

namespace orchard::nn {

// A sum of exponentials kept relative to its largest term: sum exp(x) = sum * exp(largest).
template <class C>
struct ExpSum {
  C largest, sum;
};

// Below every logit, yet finite: two empty sums combine to an empty sum instead of NaN.
template <class C>
ORCHARD_HD ExpSum<C> EmptyExpSum() {
  return {C(-3.0e38), C(0)};
}

template <class C>
ORCHARD_HD ExpSum<C> Combine(ExpSum<C> a, ExpSum<C> b) {
  const C largest = a.largest > b.largest ? a.largest : b.largest;
  return {largest, a.sum * Exp(a.largest - largest) + b.sum * Exp(b.largest - largest)};
}

template <class C>
ORCHARD_HD C CrossEntropyLoss(C log_sum, C target_logit, C mean_logit, C smoothing) {
  // Without smoothing the mean does not count: masked classes have logits of minus infinity.
  if (smoothing == C(0)) return log_sum - target_logit;
  return log_sum - (C(1) - smoothing) * target_logit - smoothing * mean_logit;
}

// `uniform` is s / C.
template <class C>
ORCHARD_HD C CrossEntropyGradient(C x, C log_sum, bool is_target, C smoothing, C uniform) {
  return Exp(x - log_sum) - (is_target ? C(1) - smoothing : C(0)) - uniform;
}

}  // namespace orchard::nn
