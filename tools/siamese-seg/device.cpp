#include "siamese-seg/device.h"

#include <algorithm>
#include <string>

#include "comm/nccl_communicator.h"
#include "nn/device.h"

namespace orchard::siamese_seg {

c10::Device DeviceFor(const cli::Context& context) {
  const std::string& name = context.common.device;
  // "auto" is the CPU: the GPU's half has not been proved on one so far.
  if (name == "auto" || name == "cpu") return c10::Device(c10::kCPU);
  const c10::Device device = nn::ResolveDevice(name);
  if (device.is_cpu()) return device;
  nn::AllowTf32(false);
  nn::UseDeterministicAlgorithms(context.common.deterministic);
  if (name.find(':') != std::string::npos) return device;
  const int index = comm::LocalRank() % std::max(1, nn::CudaDeviceCount());
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

}  // namespace orchard::siamese_seg
