// Bias + activation and gated activations of fused_ops.h.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "nn/activation.h"
#include "nn/composed_ops.h"
#include "nn/fused_launch.h"
#include "nn/fused_ops.h"
#if ORCHARD_HAVE_CUDA
#include "cuda/nn/activation.h"
#endif

namespace orchard::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class BiasActivationFunction : public torch::autograd::Function<BiasActivationFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const std::optional<at::Tensor>& bias, Activation activation) {
    const at::Tensor x = input.contiguous();
    const at::Tensor shift = bias ? bias->contiguous() : at::Tensor();
    const at::Tensor y = at::empty_like(x, at::MemoryFormat::Contiguous);
    BiasActivationForwardArgs args;
    args.activation = activation;
    args.type = FloatTypeOf(x, "BiasActivation", "x");
    args.columns = x.size(-1);
    args.rows = x.numel() / args.columns;
    args.x = x.const_data_ptr();
    args.bias = shift.defined() ? shift.const_data_ptr() : nullptr;
    args.y = y.mutable_data_ptr();
    Launch(x, args, &BiasActivationForward, ORCHARD_KERNEL(BiasActivationForward));
    context->save_for_backward({x, shift});
    context->saved_data["activation"] = static_cast<int64_t>(activation);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    RequireFirstOrder("BiasActivation");
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &bias = saved[1];
    const at::Tensor dy = gradients[0].contiguous(), dx = at::empty_like(x);
    BiasActivationBackwardArgs args;
    args.activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    args.type = FloatTypeOf(x, "BiasActivation", "x");
    args.columns = x.size(-1);
    args.rows = x.numel() / args.columns;
    const at::Tensor dbias = bias.defined() ? at::zeros_like(bias) : at::Tensor();
    if (args.rows == 0) return {dx, dbias, at::Tensor()};
    at::Tensor workspace;
    if (bias.defined()) {
      workspace = at::empty({BiasActivationWorkspace(args.rows, args.columns, args.type)},
                            x.options().dtype(at::kByte));
      args.bias = bias.const_data_ptr();
      args.dbias = dbias.mutable_data_ptr();
      args.workspace = workspace.mutable_data_ptr();
    }
    args.dy = dy.const_data_ptr();
    args.x = x.const_data_ptr();
    args.dx = dx.mutable_data_ptr();
    Launch(x, args, &BiasActivationBackward, ORCHARD_KERNEL(BiasActivationBackward));
    return {dx, dbias, at::Tensor()};
  }
};

class GatedFunction : public torch::autograd::Function<GatedFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate_input,
                            const at::Tensor& up_input, Activation activation) {
    const at::Tensor gate = gate_input.contiguous(), up = up_input.contiguous();
    const at::Tensor y = at::empty_like(gate, at::MemoryFormat::Contiguous);
    GatedForwardArgs args;
    args.activation = activation;
    args.type = FloatTypeOf(gate, "GatedActivation", "gate");
    args.count = gate.numel();
    args.gate = gate.const_data_ptr();
    args.up = up.const_data_ptr();
    args.y = y.mutable_data_ptr();
    Launch(gate, args, &GatedForward, ORCHARD_KERNEL(GatedForward));
    context->save_for_backward({gate, up});
    context->saved_data["activation"] = static_cast<int64_t>(activation);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    RequireFirstOrder("GatedActivation");
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const at::Tensor dy = gradients[0].contiguous();
    const at::Tensor dgate = at::empty_like(gate), dup = at::empty_like(up);
    GatedBackwardArgs args;
    args.activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    args.type = FloatTypeOf(gate, "GatedActivation", "gate");
    args.count = gate.numel();
    args.dy = dy.const_data_ptr();
    args.gate = gate.const_data_ptr();
    args.up = up.const_data_ptr();
    args.dgate = dgate.mutable_data_ptr();
    args.dup = dup.mutable_data_ptr();
    Launch(gate, args, &GatedBackward, ORCHARD_KERNEL(GatedBackward));
    return {dgate, dup, at::Tensor()};
  }
};

// 16-bit GELU by erf on the CPU, where ATen was measured to be about twice as fast as the twin
// (docs/kernels.md).
bool AtenIsFaster(const at::Tensor& x, Activation activation) {
  return x.is_cpu() && x.element_size() == 2 && activation == Activation::kGelu;
}

}  // namespace

at::Tensor BiasActivation(const at::Tensor& x, const at::Tensor& bias, Activation activation) {
  Require(x.dim() >= 1 && x.size(-1) > 0, "BiasActivation", "x", "there is no last dimension");
  if (bias.defined()) {
    Require(bias.dim() == 1 && bias.size(0) == x.size(-1), "BiasActivation", "bias",
            "its size is not that of the last dimension of x");
    Require(bias.scalar_type() == x.scalar_type() && bias.device() == x.device(), "BiasActivation",
            "bias", "its dtype or device is not that of x");
  }
  if (!HasKernels(x) || AtenIsFaster(x, activation))
    return composed::BiasActivation(x, bias, activation);
  return BiasActivationFunction::apply(x, Optional(bias), activation);
}

at::Tensor GatedActivation(const at::Tensor& gate, const at::Tensor& up, Activation activation) {
  RequireLike(gate, up, "GatedActivation", "up");
  if (!HasKernels(gate) || AtenIsFaster(gate, activation))
    return composed::GatedActivation(gate, up, activation);
  return GatedFunction::apply(gate, up, activation);
}

}  // namespace orchard::nn
