// Trading time for memory: a step of a forward pass whose inner activations are computed again in
// the backward pass instead of being kept (gradient checkpointing; Chen et al., 2016).
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace orchard::nn {

// step(x), with the gradients that autograd would give, bit for bit, while only `x` and the result
// stay in memory until the backward pass. `step` is called a second time there: it must draw the
// same random numbers again (nn/training_context.h) and own whatever it refers to. Gradients of the
// parameters that it uses are added to them as the step's backward pass is run, so `backward()`
// has to be called on the loss rather than `grad()` of chosen tensors.
//   anchor  a parameter of the step that asks for a gradient, or undefined: makes the result ask
//           for one where `x` does not
at::Tensor Recomputed(std::function<at::Tensor(const at::Tensor&)> step, const at::Tensor& x,
                      const at::Tensor& anchor);

}  // namespace orchard::nn
