// The activations and their derivatives, shared by cuda/nn/activation.cu and its CPU twin.
#pragma once

#include "base/elementary.h"
#include "nn/activation_kind.h"

namespace orchard::nn {

// f(x) and f'(x).
template <class C>
struct ValueSlope {
  C value, slope;
};

// x Phi(x);  Phi(x) + x phi(x).
struct GeluElement {
  template <class C>
  static ORCHARD_HD C Value(C x) {
    return x * NormalCdf(x);
  }
  template <class C>
  static ORCHARD_HD ValueSlope<C> Both(C x) {
    const C cdf = NormalCdf(x);
    const C density = C(0.39894228040143267794) * Exp(C(-0.5) * x * x);
    return {x * cdf, cdf + x * density};
  }
};

// x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), and (1 + tanh u) / 2 = sigmoid(2 u).
struct GeluTanhElement {
  template <class C>
  static ORCHARD_HD C Value(C x) {
    return x * Sigmoid(C(1.59576912160573071176) * (x + C(0.044715) * x * x * x));
  }
  template <class C>
  static ORCHARD_HD ValueSlope<C> Both(C x) {
    const SigmoidPair<C> s =
        SigmoidWithSlope(C(1.59576912160573071176) * (x + C(0.044715) * x * x * x));
    const C du = C(1.59576912160573071176) * (C(1) + C(0.134145) * x * x);
    return {x * s.value, s.value + x * s.slope * du};
  }
};

// x sigmoid(x).
struct SiluElement {
  template <class C>
  static ORCHARD_HD C Value(C x) {
    return x * Sigmoid(x);
  }
  template <class C>
  static ORCHARD_HD ValueSlope<C> Both(C x) {
    const SigmoidPair<C> s = SigmoidWithSlope(x);
    return {x * s.value, s.value + x * s.slope};
  }
};

// Calls function(Element{}) with the element of `activation`.
template <class Function>
void DispatchActivation(Activation activation, Function&& function) {
  switch (activation) {
    case Activation::kGelu:
      return function(GeluElement{});
    case Activation::kGeluTanh:
      return function(GeluTanhElement{});
    case Activation::kSilu:
      return function(SiluElement{});
  }
}

}  // namespace orchard::nn
