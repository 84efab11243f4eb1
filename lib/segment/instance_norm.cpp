#include "segment/instance_norm.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include <type_traits>

#include "base/half.h"
#include "nn/fused_launch.h"
#include "segment/instance_norm_kernel.h"
#if ORCHARD_HAVE_CUDA
#include "cuda/segment/instance_norm_kernel.h"
#endif

namespace orchard::segment {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T>
T* Data(const at::Tensor& x) {
  return static_cast<T*>(x.mutable_data_ptr());
}

// T of x and y; statistics and weights are of ComputeOf<T>.
template <class T>
InstanceNormGradientArgs<T, ComputeOf<T>> Describe(const at::Tensor& x, const at::Tensor& weight,
                                                   const at::Tensor& bias, const at::Tensor& mean,
                                                   const at::Tensor& rstd, double slope,
                                                   double epsilon) {
  using C = ComputeOf<T>;
  InstanceNormGradientArgs<T, C> args;
  args.batch = x.size(0);
  args.channels = x.size(1);
  args.rows = x.size(2) * x.size(3) * x.size(4);
  args.slope = static_cast<C>(slope);
  args.epsilon = static_cast<C>(epsilon);
  args.x = Data<T>(x);
  args.weight = Data<C>(weight);
  args.bias = Data<C>(bias);
  args.mean = Data<C>(mean);
  args.rstd = Data<C>(rstd);
  return args;
}

#if ORCHARD_HAVE_CUDA
template <class T>
at::Tensor MakeWorkspace(const at::Tensor& x, const InstanceNormArgs<T, ComputeOf<T>>& a) {
  return at::empty({cuda::InstanceNormWorkspace(a.batch, a.rows, a.channels)},
                   x.options().dtype(nn::StatisticsType(x)));
}
#endif

// Where `x` is. On the CPU only float and double get here.
template <class T>
void LaunchForward([[maybe_unused]] const at::Tensor& x,
                   const InstanceNormArgs<T, ComputeOf<T>>& args) {
#if ORCHARD_HAVE_CUDA
  if (x.is_cuda()) {
    const c10::DeviceGuard guard(x.device());
    const at::Tensor workspace = MakeWorkspace<T>(x, args);
    return cuda::InstanceNormForward<T>(args, Data<ComputeOf<T>>(workspace), nn::CurrentStream(x));
  }
#endif
  if constexpr (std::is_same_v<T, ComputeOf<T>>) InstanceNormForward(args);
}

template <class T>
void LaunchBackward([[maybe_unused]] const at::Tensor& x,
                    const InstanceNormGradientArgs<T, ComputeOf<T>>& args) {
#if ORCHARD_HAVE_CUDA
  if (x.is_cuda()) {
    const c10::DeviceGuard guard(x.device());
    const at::Tensor workspace = MakeWorkspace<T>(x, args);
    return cuda::InstanceNormBackward<T>(args, Data<ComputeOf<T>>(workspace), nn::CurrentStream(x));
  }
#endif
  if constexpr (std::is_same_v<T, ComputeOf<T>>) InstanceNormBackward(args);
}

class NormFunction : public torch::autograd::Function<NormFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight, const at::Tensor& bias, double slope,
                            double epsilon) {
    const at::Tensor x = input.contiguous(at::MemoryFormat::ChannelsLast3d);
    const at::Tensor y = at::empty_like(x);
    const at::Tensor mean =
        at::empty({x.size(0), x.size(1)}, x.options().dtype(nn::StatisticsType(x)));
    const at::Tensor rstd = at::empty_like(mean);
    DispatchFloat(nn::FloatTypeOf(x, "InstanceNorm", "x"), [&](auto tag) {
      using T = decltype(tag);
      auto args = Describe<T>(x, weight, bias, mean, rstd, slope, epsilon);
      args.y = Data<T>(y);
      LaunchForward<T>(x, args);
    });
    context->save_for_backward({x, weight, bias, mean, rstd});
    context->saved_data["slope"] = slope;
    context->saved_data["epsilon"] = epsilon;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list s = context->get_saved_variables();
    const at::Tensor& x = s[0];
    const at::Tensor dy =
        gradients[0].to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast3d);
    const at::Tensor dx = at::empty_like(x);
    const at::Tensor dweight = at::empty_like(s[1]), dbias = at::empty_like(s[2]);
    DispatchFloat(nn::FloatTypeOf(x, "InstanceNorm", "x"), [&](auto tag) {
      using T = decltype(tag);
      auto args = Describe<T>(x, s[1], s[2], s[3], s[4], context->saved_data["slope"].toDouble(),
                              context->saved_data["epsilon"].toDouble());
      args.dy = Data<T>(dy);
      args.dx = Data<T>(dx);
      args.dweight = Data<ComputeOf<T>>(dweight);
      args.dbias = Data<ComputeOf<T>>(dbias);
      LaunchBackward<T>(x, args);
    });
    return {dx, dweight, dbias, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor InstanceNormLeakyRelu(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& bias, double slope, double epsilon) {
  if (!nn::HasKernels(x)) {
    return at::leaky_relu(at::instance_norm(x, weight, bias, {}, {}, true, 0, epsilon, false),
                          slope);
  }
  const at::ScalarType statistics = nn::StatisticsType(x);
  // The twin computes in the type of what it is given; the kernel also reads and writes 16 bits.
  const at::Tensor wide = x.is_cpu() ? x.to(statistics) : x;
  return NormFunction::apply(wide, weight.to(statistics).contiguous(),
                             bias.to(statistics).contiguous(), slope, epsilon)
      .to(x.scalar_type());
}

}  // namespace orchard::segment
