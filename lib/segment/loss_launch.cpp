#include "segment/loss_launch.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include "nn/fused_launch.h"
#if ORCHARD_HAVE_CUDA
#include "cuda/segment/loss_kernel.h"
#endif

namespace orchard::segment {
namespace {

#if ORCHARD_HAVE_CUDA
// What the device's sums [batch, 3 classes + 2] say.
template <class T>
LossSums Split(const at::Tensor& sums, const LossArgs<T>& a) {
  LossSums s;
  for (int64_t n = 0; n < a.batch; ++n) {
    const double* const row = sums.const_data_ptr<double>() + n * (3 * a.classes + 2);
    s.intersection.insert(s.intersection.end(), row, row + a.classes);
    s.probability.insert(s.probability.end(), row + a.classes, row + 2 * a.classes);
    s.area.insert(s.area.end(), row + 2 * a.classes, row + 3 * a.classes);
    s.ce.push_back(row[3 * a.classes]);
    s.counted.push_back(static_cast<int64_t>(row[3 * a.classes + 1]));
  }
  return s;
}

at::Tensor OnDevice(const std::vector<double>& values, const at::Tensor& x) {
  return at::tensor(values, at::kDouble).to(x.device());
}
#endif

}  // namespace

bool HasLossKernel(const at::Tensor& x) {
  return (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble) && nn::HasKernels(x);
}

template <class T>
LossSums LaunchSumLoss(const at::Tensor& x, const LossArgs<T>& args) {
#if ORCHARD_HAVE_CUDA
  if (x.is_cuda()) {
    const c10::DeviceGuard guard(x.device());
    const auto doubles = x.options().dtype(at::kDouble);
    const at::Tensor partials =
        at::empty({cuda::LossPartials(args.batch, args.classes, args.voxels)}, doubles);
    const at::Tensor sums = at::empty({args.batch, 3 * args.classes + 2}, doubles);
    cuda::SumLoss(args, partials.mutable_data_ptr<double>(), sums.mutable_data_ptr<double>(),
                  nn::CurrentStream(x));
    return Split(sums.cpu(), args);
  }
#endif
  return SumLoss(args);
}

template <class T>
void LaunchLossGradient(const at::Tensor& x, const LossArgs<T>& args, double ce_scale,
                        const std::vector<double>& inside, const std::vector<double>& outside,
                        T* gradient) {
#if ORCHARD_HAVE_CUDA
  if (x.is_cuda()) {
    const c10::DeviceGuard guard(x.device());
    const at::Tensor in = OnDevice(inside, x), out = OnDevice(outside, x);
    cuda::LossGradient(args, ce_scale, in.const_data_ptr<double>(), out.const_data_ptr<double>(),
                       gradient, nn::CurrentStream(x));
    return;
  }
#endif
  LossGradient(args, ce_scale, inside, outside, gradient);
}

template LossSums LaunchSumLoss(const at::Tensor&, const LossArgs<float>&);
template LossSums LaunchSumLoss(const at::Tensor&, const LossArgs<double>&);
template void LaunchLossGradient(const at::Tensor&, const LossArgs<float>&, double,
                                 const std::vector<double>&, const std::vector<double>&, float*);
template void LaunchLossGradient(const at::Tensor&, const LossArgs<double>&, double,
                                 const std::vector<double>&, const std::vector<double>&, double*);

}  // namespace orchard::segment
