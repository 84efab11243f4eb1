// Which device's kernel computes the segmentation loss.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "segment/loss_kernel.h"

namespace orchard::segment {

// Whether there is a kernel for the device and type of `x`; else the composition is used.
bool HasLossKernel(const at::Tensor& x);

// loss_kernel.h where `x`, the logits, are.
template <class T>
LossSums LaunchSumLoss(const at::Tensor& x, const LossArgs<T>& args);
template <class T>
void LaunchLossGradient(const at::Tensor& x, const LossArgs<T>& args, double ce_scale,
                        const std::vector<double>& inside, const std::vector<double>& outside,
                        T* gradient);

}  // namespace orchard::segment
