#include "cli/device.h"

#include <dlfcn.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/version.h"

namespace orchard::cli {
namespace {

// Index of "cuda:<i>"; -1: not of this form.
int CudaIndex(std::string_view text) {
  constexpr std::string_view kPrefix = "cuda:";
  if (!text.starts_with(kPrefix)) return -1;
  text.remove_prefix(kPrefix.size());
  int index = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  return error == std::errc() && end == text.data() + text.size() ? index : -1;
}

int AskDriver() {
  void* driver =
      dlopen("libcuda.so.1",
             RTLD_NOW);  // stays open: the driver starts threads that must not lose their code
  if (!driver) return 0;
  // CUDA driver API: CUresult cuInit(unsigned), CUresult cuDeviceGetCount(int*); 0 is CUDA_SUCCESS.
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto count = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  int devices = 0;
  if (!init || !count || init(0) != 0 || count(&devices) != 0) return 0;
  return devices;
}

}  // namespace

std::string Device::Name() const { return IsCuda() ? "cuda:" + std::to_string(index) : "cpu"; }

int CudaDeviceCount() {
  static const int count = AskDriver();
  return count;
}

void CheckDeviceName(std::string_view text) {
  if (text == "auto" || text == "cpu" || text == "cuda" || CudaIndex(text) >= 0) return;
  throw UsageError("unknown device '" + std::string(text) + "'", "--device",
                   "use auto, cpu, cuda or cuda:<i>");
}

Device ResolveDevice(std::string_view text) {
  CheckDeviceName(text);
  if (text == "cpu") return {};
  const bool built = BuildVersions().HasCuda();
  if (text == "auto" && (!built || CudaDeviceCount() == 0)) return {};
  const Device device{Device::Kind::kCuda, std::max(0, CudaIndex(text))};
  if (!built) {
    throw ResourceError("this build has no CUDA kernels", "--device " + std::string(text),
                        "use --device cpu, or build with ORCHARD_CUDA=on");
  }
  if (device.index >= CudaDeviceCount()) {
    throw ResourceError("there is no such CUDA device", "--device " + std::string(text),
                        "this machine has " + std::to_string(CudaDeviceCount()) +
                            "; use --device cpu or another index");
  }
  return device;
}

}  // namespace orchard::cli
