// LayerNorm and RMSNorm of fused_ops.h.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "nn/composed_ops.h"
#include "nn/fused_launch.h"
#include "nn/fused_ops.h"
#include "nn/norm.h"
#if ORCHARD_HAVE_CUDA
#include "cuda/nn/norm.h"
#endif

namespace orchard::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What both passes know besides the tensors.
struct NormSettings {
  NormKind kind;
  double epsilon;
  double weight_offset;
};

const char* Operation(NormKind kind) {
  return kind == NormKind::kLayerNorm ? "LayerNorm" : "RmsNorm";
}

void Check(const at::Tensor& x, const at::Tensor& parameter, NormKind kind, const char* argument) {
  const char* operation = Operation(kind);
  Require(x.dim() >= 1 && x.size(-1) > 0, operation, "x", "there is no last dimension");
  Require(parameter.dim() == 1 && parameter.size(0) == x.size(-1), operation, argument,
          "its size is not that of the last dimension of x");
  Require(parameter.scalar_type() == x.scalar_type() ||
              (parameter.scalar_type() == at::kFloat && x.scalar_type() != at::kDouble),
          operation, argument, "its dtype is neither that of x nor f32");
  Require(parameter.device() == x.device(), operation, argument, "it is not on the device of x");
}

class NormFunction : public torch::autograd::Function<NormFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            const NormSettings& settings) {
    const at::Tensor x = input.contiguous(), gain = weight.contiguous();
    const bool centred = settings.kind == NormKind::kLayerNorm;
    const int64_t columns = x.size(-1), rows = x.numel() / columns;
    const auto statistics = x.options().dtype(StatisticsType(x));
    const at::Tensor y = at::empty_like(x, at::MemoryFormat::Contiguous);
    const at::Tensor mean = centred ? at::empty({rows}, statistics) : at::Tensor();
    const at::Tensor rstd = at::empty({rows}, statistics);
    const at::Tensor shift = bias ? bias->contiguous() : at::Tensor();
    NormForwardArgs args;
    args.name = Operation(settings.kind);
    args.kind = settings.kind;
    args.type = FloatTypeOf(x, args.name, "x");
    args.weight_type = FloatTypeOf(gain, args.name, "weight");
    args.rows = rows;
    args.columns = columns;
    args.epsilon = settings.epsilon;
    args.weight_offset = settings.weight_offset;
    args.x = x.const_data_ptr();
    args.weight = gain.const_data_ptr();
    args.bias = shift.defined() ? shift.const_data_ptr() : nullptr;
    args.y = y.mutable_data_ptr();
    args.mean = centred ? mean.mutable_data_ptr() : nullptr;
    args.rstd = rstd.mutable_data_ptr();
    Launch(x, args, &NormForward, ORCHARD_KERNEL(NormForward));
    context->save_for_backward({x, gain, mean, rstd});
    context->saved_data["kind"] = static_cast<int64_t>(settings.kind);
    context->saved_data["offset"] = settings.weight_offset;
    context->saved_data["bias"] = bias.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &rstd = saved[3];
    const at::Tensor dy = gradients[0].contiguous();
    NormBackwardArgs args;
    args.kind = static_cast<NormKind>(context->saved_data["kind"].toInt());
    args.name = Operation(args.kind);
    RequireFirstOrder(args.name);
    const at::Tensor dx = at::empty_like(x), dweight = at::empty_like(weight);
    const at::Tensor dbias =
        context->saved_data["bias"].toBool() ? at::empty_like(weight) : at::Tensor();
    args.type = FloatTypeOf(x, args.name, "x");
    args.weight_type = FloatTypeOf(weight, args.name, "weight");
    args.columns = x.size(-1);
    args.rows = x.numel() / args.columns;
    if (args.rows == 0)
      return {dx, at::zeros_like(weight), dbias.defined() ? at::zeros_like(weight) : dbias,
              at::Tensor()};
    const at::Tensor workspace = at::empty(
        {NormBackwardWorkspace(args.rows, args.columns, args.type)}, x.options().dtype(at::kByte));
    args.weight_offset = context->saved_data["offset"].toDouble();
    args.dy = dy.const_data_ptr();
    args.x = x.const_data_ptr();
    args.weight = weight.const_data_ptr();
    args.mean = mean.defined() ? mean.const_data_ptr() : nullptr;
    args.rstd = rstd.const_data_ptr();
    args.dx = dx.mutable_data_ptr();
    args.dweight = dweight.mutable_data_ptr();
    args.dbias = dbias.defined() ? dbias.mutable_data_ptr() : nullptr;
    args.workspace = workspace.mutable_data_ptr();
    Launch(x, args, &NormBackward, ORCHARD_KERNEL(NormBackward));
    return {dx, dweight, dbias, at::Tensor()};
  }
};

}  // namespace

at::Tensor LayerNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     double epsilon) {
  Check(x, weight, NormKind::kLayerNorm, "weight");
  Check(x, bias, NormKind::kLayerNorm, "bias");
  Require(bias.scalar_type() == weight.scalar_type(), "LayerNorm", "bias",
          "its dtype is not that of the weight");
  if (!HasKernels(x)) return composed::LayerNorm(x, weight, bias, epsilon);
  return NormFunction::apply(x, weight, std::optional<at::Tensor>(bias),
                             NormSettings{NormKind::kLayerNorm, epsilon, 0.0});
}

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon, Gain gain) {
  Check(x, weight, NormKind::kRmsNorm, "weight");
  if (!HasKernels(x)) return composed::RmsNorm(x, weight, epsilon, gain);
  const double offset = gain == Gain::kOnePlusWeight ? 1.0 : 0.0;
  return NormFunction::apply(x, weight, std::nullopt,
                             NormSettings{NormKind::kRmsNorm, epsilon, offset});
}

}  // namespace orchard::nn
