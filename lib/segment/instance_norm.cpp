#include "segment/instance_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "segment/instance_norm_kernel.h"

namespace orchard::segment {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T>
InstanceNormArgs<T> Describe(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                             const at::Tensor& mean, const at::Tensor& rstd, double slope,
                             double epsilon) {
  InstanceNormArgs<T> args;
  args.batch = x.size(0);
  args.channels = x.size(1);
  args.rows = x.size(2) * x.size(3) * x.size(4);
  args.slope = static_cast<T>(slope);
  args.epsilon = static_cast<T>(epsilon);
  args.x = x.const_data_ptr<T>();
  args.weight = weight.const_data_ptr<T>();
  args.bias = bias.const_data_ptr<T>();
  args.mean = mean.mutable_data_ptr<T>();
  args.rstd = rstd.mutable_data_ptr<T>();
  return args;
}

class NormFunction : public torch::autograd::Function<NormFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight, const at::Tensor& bias, double slope,
                            double epsilon) {
    const at::Tensor x = input.contiguous(at::MemoryFormat::ChannelsLast3d);
    const at::Tensor y = at::empty_like(x);
    const at::Tensor mean = at::empty({x.size(0), x.size(1)}, x.options());
    const at::Tensor rstd = at::empty_like(mean);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "InstanceNorm", [&] {
      auto args = Describe<scalar_t>(x, weight, bias, mean, rstd, slope, epsilon);
      args.y = y.mutable_data_ptr<scalar_t>();
      InstanceNormForward(args);
    });
    context->save_for_backward({x, weight, bias, mean, rstd});
    context->saved_data["slope"] = slope;
    context->saved_data["epsilon"] = epsilon;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list s = context->get_saved_variables();
    const at::Tensor dy = gradients[0].contiguous(at::MemoryFormat::ChannelsLast3d);
    const at::Tensor dx = at::empty_like(s[0]);
    const at::Tensor dweight = at::empty_like(s[1]), dbias = at::empty_like(s[2]);
    AT_DISPATCH_FLOATING_TYPES(dy.scalar_type(), "InstanceNorm", [&] {
      InstanceNormGradientArgs<scalar_t> args;
      static_cast<InstanceNormArgs<scalar_t>&>(args) =
          Describe<scalar_t>(s[0], s[1], s[2], s[3], s[4], context->saved_data["slope"].toDouble(),
                             context->saved_data["epsilon"].toDouble());
      args.dy = dy.const_data_ptr<scalar_t>();
      args.dx = dx.mutable_data_ptr<scalar_t>();
      args.dweight = dweight.mutable_data_ptr<scalar_t>();
      args.dbias = dbias.mutable_data_ptr<scalar_t>();
      InstanceNormBackward(args);
    });
    return {dx, dweight, dbias, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor InstanceNormLeakyRelu(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& bias, double slope, double epsilon) {
  const bool kernel =
      x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble);
  if (kernel) return NormFunction::apply(x, weight, bias, slope, epsilon);
  return at::leaky_relu(at::instance_norm(x, weight, bias, {}, {}, true, 0, epsilon, false), slope);
}

}  // namespace orchard::segment
