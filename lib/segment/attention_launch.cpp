#include "segment/attention_launch.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include "nn/fused_launch.h"
#if ORCHARD_HAVE_CUDA
#include "cuda/segment/attention_kernel.h"
#endif

namespace orchard::segment {
namespace {

#if ORCHARD_HAVE_CUDA
template <class T>
at::Tensor MakeWorkspace(const at::Tensor& x, const AttentionArgs<T>& a) {
  return at::empty(
      {cuda::CosineAttentionWorkspace(a.batch, a.targets, a.tokens, a.classes, a.key_channels)},
      x.options());
}
#endif

}  // namespace

bool HasAttentionKernel(const at::Tensor& x) {
  return (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble) && nn::HasKernels(x);
}

template <class T>
void LaunchAttention(const at::Tensor& x, const AttentionArgs<T>& args) {
  if (x.is_cpu()) return CosineAttentionForward(args);
#if ORCHARD_HAVE_CUDA
  const c10::DeviceGuard guard(x.device());
  const at::Tensor workspace = MakeWorkspace(x, args);
  cuda::CosineAttentionForward(args, workspace.mutable_data_ptr<T>(), nn::CurrentStream(x));
#endif
}

template <class T>
void LaunchAttentionGradient(const at::Tensor& x, AttentionGradientArgs<T>& args) {
  if (x.is_cpu()) return CosineAttentionBackward(args);
#if ORCHARD_HAVE_CUDA
  const c10::DeviceGuard guard(x.device());
  const at::Tensor workspace = MakeWorkspace<T>(x, args);
  const at::Tensor scalars = at::empty({2}, x.options().dtype(at::kDouble));
  cuda::CosineAttentionBackward(args, workspace.mutable_data_ptr<T>(),
                                scalars.mutable_data_ptr<double>(), nn::CurrentStream(x));
  const at::Tensor host = scalars.cpu();
  args.d_tau = host[0].item<double>();
  args.d_beta = host[1].item<double>();
#endif
}

template void LaunchAttention(const at::Tensor&, const AttentionArgs<float>&);
template void LaunchAttention(const at::Tensor&, const AttentionArgs<double>&);
template void LaunchAttentionGradient(const at::Tensor&, AttentionGradientArgs<float>&);
template void LaunchAttentionGradient(const at::Tensor&, AttentionGradientArgs<double>&);

}  // namespace orchard::segment
