// Where tensors live, found out without LibTorch or a CUDA library at link time.
#pragma once

#include <string>
#include <string_view>

namespace orchard::cli {

struct Device {
  enum class Kind { kCpu, kCuda };
  Kind kind = Kind::kCpu;
  int index = 0;  // of a CUDA device

  bool IsCuda() const { return kind == Kind::kCuda; }
  std::string Name() const;  // "cpu" or "cuda:<index>", as LibTorch writes it
};

// NVIDIA devices that this process can use: 0 without a driver. Asks the driver (libcuda.so.1) the
// first time, which may take some 100 ms on a GPU machine.
int CudaDeviceCount();

// Throws UsageError unless `text` is auto, cpu, cuda or cuda:<i>.
void CheckDeviceName(std::string_view text);

// auto is cuda:0 where this build has kernels and the machine a device, else cpu; cuda is cuda:0.
// Throws ResourceError when a CUDA device is asked for that is not there.
Device ResolveDevice(std::string_view text);

}  // namespace orchard::cli
