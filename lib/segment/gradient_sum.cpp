#include "segment/gradient_sum.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>

#include "comm/device_ranks.h"
#include "nn/fused_launch.h"

namespace orchard::segment {

GradientSum::GradientSum(comm::Communicator& ranks, std::span<const at::Tensor> values,
                         c10::Device device)
    : ranks_(ranks), values_(values.begin(), values.end()) {
  if (ranks.size() == 1) return;
  int64_t elements = 0;
  for (const at::Tensor& v : values_) elements += v.numel();
  message_ = at::empty({elements}, at::TensorOptions().dtype(at::kFloat).device(device));
  if (device.is_cpu()) return;
  const c10::DeviceGuard guard(device);
  device_ranks_ = comm::OpenDeviceRanks(ranks, device.index(), nn::CurrentStream(message_));
}

void GradientSum::Run() {
  if (ranks_.size() == 1) return;
  const c10::NoGradGuard no_gradient;
  std::vector<at::Tensor> parts;
  int64_t at = 0;
  for (const at::Tensor& v : values_) {
    parts.push_back(message_.narrow(0, at, v.numel()).view(v.sizes()));
    at += v.numel();
    if (v.grad().defined()) {
      parts.back().copy_(v.grad());
    } else {
      parts.back().zero_();
    }
  }
  comm::Communicator& engine = device_ranks_ ? *device_ranks_ : ranks_;
  engine.AllReduce(comm::Buffer(message_.mutable_data_ptr(), message_.numel(), io::DType::kF32));
  for (size_t n = 0; n < values_.size(); ++n) values_[n].mutable_grad() = parts[n];
}

}  // namespace orchard::segment
