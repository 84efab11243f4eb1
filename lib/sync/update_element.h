// The arithmetic of the update kernels, one element at a time; for kernels on the GPU and their
// twins on the CPU (update_kernels.h). C is float, or double. Only +, -, *, / and square root: the
// same bits everywhere where contraction is off.
#pragma once

#include <cmath>

#include "base/host_device.h"
#include "nn/adamw_element.h"

namespace orchard::sync {

// How SGD's momentum makes a step p of a gradient g (with weight decay, unless said otherwise),
// with m <- beta m + g:
enum class MomentumRule {
  kNesterov,   // p = lr (g + beta m), as torch.optim.SGD(nesterov=True)
  kHeavyBall,  // p = lr m
  kRelease  // m takes g + lambda x, but p = lr (g + beta m) without lambda x: CSER's released code
};

// How a gradient becomes a step: SGD with one of the rules above, or
enum class StepRule {
  kNesterov,
  kHeavyBall,
  kRelease,
  kAdam,   // weight decay is part of the gradient, as torch.optim.Adam
  kAdamW,  // weight decay is decoupled, as torch.optim.AdamW
  kLion,   // p = lr (sign(beta1 m + (1 - beta1) g) + lambda x), m <- beta2 m + (1 - beta2) g
  kGiven   // the gradient's place holds the step already
};

constexpr bool UsesSecondMoment(StepRule rule) {
  return rule == StepRule::kAdam || rule == StepRule::kAdamW;
}

template <class C>
struct StepScalars {
  C learning_rate = 0, momentum = 0, weight_decay = 0;  // momentum: beta1 of the others
  C gradient_scale = 1;  // multiplies every gradient first: 1/n of a sum, or a clipped norm
  C one_minus_beta1 = 0, beta2 = 0, one_minus_beta2 = 0;
  C step_size = 0;                // learning_rate / (1 - beta1^t)
  C inverse_root_correction = 1;  // 1 / sqrt(1 - beta2^t)
  C epsilon = 0;
};

template <class C>
ORCHARD_HD C SignOf(C value) {
  return value > C(0) ? C(1) : value < C(0) ? C(-1) : C(0);
}

// Moves both moments of Adam on and returns m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) +
// epsilon), times `scale` (1 - beta1^t): scale = step_size gives Adam's step.
template <class C>
ORCHARD_HD C MomentRatio(const StepScalars<C>& s, C scale, C gradient, C& first, C& second) {
  first = s.momentum * first + s.one_minus_beta1 * gradient;
  second = s.beta2 * second + s.one_minus_beta2 * (gradient * gradient);
  const C denominator = nn::SquareRoot(second) * s.inverse_root_correction + s.epsilon;
  return scale * (first / denominator);
}

// The step p of one weight; its moments move on. The learning rate multiplies outside of them, so
// that a change of it does not rescale what has been gathered. `second` only matters to Adam.
template <StepRule kRule, class C>
ORCHARD_HD C StepOf(const StepScalars<C>& s, C gradient, C value, C& first, C& second) {
  const C scaled = gradient * s.gradient_scale;
  if constexpr (kRule == StepRule::kGiven) {
    return scaled;
  } else if constexpr (kRule == StepRule::kAdam) {
    return MomentRatio(s, s.step_size, scaled + s.weight_decay * value, first, second);
  } else if constexpr (kRule == StepRule::kAdamW) {
    const C decay = s.learning_rate * s.weight_decay * value;
    return decay + MomentRatio(s, s.step_size, scaled, first, second);
  } else if constexpr (kRule == StepRule::kLion) {
    const C direction = SignOf(s.momentum * first + s.one_minus_beta1 * scaled);
    first = s.beta2 * first + s.one_minus_beta2 * scaled;
    return s.learning_rate * (direction + s.weight_decay * value);
  } else {
    const C decayed = scaled + s.weight_decay * value;
    first = s.momentum * first + decayed;
    if (kRule == StepRule::kHeavyBall) return s.learning_rate * first;
    const C base = kRule == StepRule::kRelease ? scaled : decayed;
    return s.learning_rate * (base + s.momentum * first);
  }
}

// EF-SGD as released: the gradient's step goes into the error, weight decay has a momentum of its
// own and is applied at once.
template <class C>
ORCHARD_HD void ErrorFeedbackStep(const StepScalars<C>& s, C gradient, C& value, C& momentum,
                                  C& decay_momentum, C& error) {
  const C scaled = gradient * s.gradient_scale;
  momentum = s.momentum * momentum + scaled;
  error = error + s.learning_rate * (s.momentum * momentum + scaled);
  const C decay = s.weight_decay * value;
  decay_momentum = s.momentum * decay_momentum + decay;
  value = value - s.learning_rate * (s.momentum * decay_momentum + decay);
}

}  // namespace orchard::sync
