// The arithmetic of the update kernels, one element at a time; for kernels on the GPU and their
// twins on the CPU (update_kernels.h). C is float, or double. Only +, - and *: the same bits
// everywhere where contraction is off.
#pragma once

#include "base/host_device.h"

namespace orchard::sync {

// How a gradient g (with weight decay, unless said otherwise) becomes a step p, with m <- beta m +
// g:
enum class MomentumRule {
  kNesterov,   // p = lr (g + beta m), as torch.optim.SGD(nesterov=True)
  kHeavyBall,  // p = lr m
  kRelease  // m takes g + lambda x, but p = lr (g + beta m) without lambda x: CSER's released code
};

template <class C>
struct StepScalars {
  C learning_rate, momentum, weight_decay;
  C gradient_scale = 1;  // multiplies every gradient first: 1/n of a sum, or a clipped norm
};

// The step p of one weight; its momentum moves on. The learning rate multiplies outside the
// momentum, so that a change of it does not rescale what has been gathered.
template <MomentumRule kRule, class C>
ORCHARD_HD C MomentumStep(const StepScalars<C>& s, C gradient, C value, C& momentum) {
  const C scaled = gradient * s.gradient_scale;
  const C decayed = scaled + s.weight_decay * value;
  momentum = s.momentum * momentum + decayed;
  if (kRule == MomentumRule::kHeavyBall) return s.learning_rate * momentum;
  const C base = kRule == MomentumRule::kRelease ? scaled : decayed;
  return s.learning_rate * (base + s.momentum * momentum);
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
