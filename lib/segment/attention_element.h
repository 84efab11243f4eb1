// The arithmetic of one pair of target and template token in cosine-similarity attention, shared by
// the CPU kernel and the GPU. Symbols as in docs/methods/siamese-seg.md.
#pragma once

#include <cmath>

#include "base/elementary.h"
#include "base/host_device.h"

namespace orchard::segment {

// mu exp(tau (s - 1)): what a template token counts for its class. s <= 1, so the exponent is never
// positive and nothing has to be rescaled.
template <class C>
ORCHARD_HD C TokenWeight(C mu, C s, C tau) {
  return mu * Exp(tau * (s - C(1)));
}

// sigma = 1 + ln(L / M) / tau: the log-mean-exp of the similarities of a class.
template <class C>
ORCHARD_HD C ClassSimilarity(C mass, C area, C tau) {
  return C(1) + std::log(mass / area) / tau;
}

// d loss / d s of a pair, of which the target's class weight w, its gradient g along the class
// context and dsigma are known.
//   p    the token's part of its class, TokenWeight / L
//   dav  the scalar product of the context's gradient and the token's value
template <class C>
ORCHARD_HD C PairGradient(C p, C tau_w, C dav, C g, C dsigma) {
  return p * (tau_w * (dav - g) + dsigma);
}

// Guards the norm of a feature vector: a zero vector has similarity 0 and a finite gradient.
inline constexpr double kNormGuard = 1e-6;

}  // namespace orchard::segment
