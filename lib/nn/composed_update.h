// The update of one tensor as a chain of ATen operations, for devices without a kernel of ours.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/parameter_update.h"

namespace orchard::nn {

// The tensors that a TensorUpdate points to.
struct UpdateTensors {
  at::Tensor value, gradient;
  at::Tensor master;         // undefined unless the value has 16 bits
  at::Tensor first, second;  // second: AdamW only
  at::Tensor average;        // undefined for none
};

// Same arithmetic as AdamWElement and SgdElement; `scale` is the gradient scale. All tensors are
// changed in place.
void ComposedAdamW(const AdamWArgs& args, const TensorUpdate& update, const UpdateTensors& tensors,
                   double scale);
void ComposedSgd(const SgdArgs& args, const TensorUpdate& update, const UpdateTensors& tensors,
                 double scale);

}  // namespace orchard::nn
