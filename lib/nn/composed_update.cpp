#include "nn/composed_update.h"

#include <ATen/ATen.h>

namespace orchard::nn {
namespace {

at::Tensor Weight(const UpdateTensors& t) { return t.master.defined() ? t.master : t.value; }

// What follows every update: the moving average, and the rounding of a master.
void Finish(const UpdateArgs& args, const UpdateTensors& t) {
  const at::Tensor weight = Weight(t);
  if (t.average.defined()) {
    at::Tensor average = t.average;
    average.mul_(args.average_decay).add_(weight, 1 - args.average_decay);
  }
  if (t.master.defined()) t.value.copy_(weight);
}

}  // namespace

void ComposedAdamW(const AdamWArgs& args, const TensorUpdate& update, const UpdateTensors& tensors,
                   double scale) {
  const auto s = MakeScalars<double>(args, update, scale);
  at::Tensor weight = Weight(tensors), first = tensors.first, second = tensors.second;
  const at::Tensor g = tensors.gradient.to(weight.scalar_type()) * s.gradient_scale;
  first.mul_(s.beta1).add_(g, s.one_minus_beta1);
  second.mul_(s.beta2).addcmul_(g, g, s.one_minus_beta2);
  const at::Tensor denominator = second.sqrt().mul_(s.inverse_root_correction).add_(s.epsilon);
  weight.mul_(s.keep).addcdiv_(first, denominator, -s.step_size);
  Finish(args, tensors);
}

void ComposedSgd(const SgdArgs& args, const TensorUpdate& update, const UpdateTensors& tensors,
                 double scale) {
  const auto s = MakeScalars<double>(args, update, scale);
  at::Tensor weight = Weight(tensors), buffer = tensors.first;
  const at::Tensor g =
      (tensors.gradient.to(weight.scalar_type()) * s.gradient_scale).add_(weight, s.weight_decay);
  buffer.mul_(s.momentum).add_(g);
  weight.sub_(s.nesterov ? g + s.momentum * buffer : buffer, s.learning_rate);
  Finish(args, tensors);
}

}  // namespace orchard::nn
