#include "nn/device.h"

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/error.h"

namespace orchard::nn {
namespace {

// The file that a function of libtorch_cpu was loaded from: libtorch_cuda lies beside it.
std::filesystem::path TorchFolder() {
  Dl_info info{};
  const auto address = reinterpret_cast<const void*>(&at::globalContext);
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code ignored;
  return std::filesystem::weakly_canonical(info.dli_fname, ignored).parent_path();
}

int ParseIndex(const std::string& text, size_t from) {
  int index = -1;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + from, end, index);
  if (error != std::errc() || rest != end || index < 0) {
    throw UsageError("'" + text + "' is not a device", "--device",
                     "use auto, cpu, cuda or cuda:<number>");
  }
  return index;
}

}  // namespace

void LoadCudaBackend() {
  // Not at::hasCUDA(): LibTorch remembers its first answer for ever, so it may be asked only once
  // the library is there.
  if (!c10::impl::hasDeviceGuardImpl(c10::DeviceType::CUDA)) {
    const std::string library = (TorchFolder() / "libtorch_cuda.so").string();
    if (!std::filesystem::exists(library)) {
      throw ResourceError("LibTorch's CUDA half is missing", library,
                          "run scripts/setup --cuda, or use --device cpu");
    }
    // Global, because LibTorch's own libraries resolve symbols of each other through the global
    // scope.
    if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
      throw ResourceError(std::string("LibTorch's CUDA half does not load (") + dlerror() + ")",
                          library, "run scripts/setup --cuda, or use --device cpu");
    }
  }
  if (CudaDeviceCount() == 0) {
    throw ResourceError("no CUDA device", "cuda", "check the driver, or use --device cpu");
  }
  if (!at::hasCUDA()) {
    throw Error(ExitCode::kInternal,
                "LoadCudaBackend was called after LibTorch had settled on CPU only");
  }
}

int CudaDeviceCount() {
  if (!c10::impl::hasDeviceGuardImpl(c10::DeviceType::CUDA)) return 0;
  return c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).deviceCount();
}

c10::Device ResolveDevice(const std::string& text) {
  if (text == "cpu") return c10::Device(c10::kCPU);
  if (text == "auto") {
    try {
      LoadCudaBackend();
    } catch (const ResourceError&) {
      return c10::Device(c10::kCPU);
    }
    return c10::Device(c10::kCUDA, 0);
  }
  if (text != "cuda" && text.rfind("cuda:", 0) != 0) ParseIndex(text, text.size());
  const int index = text == "cuda" ? 0 : ParseIndex(text, 5);
  LoadCudaBackend();
  if (index >= CudaDeviceCount()) {
    throw ResourceError("there are only " + std::to_string(CudaDeviceCount()) + " CUDA devices",
                        text);
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

std::optional<int64_t> PeakAllocatedBytes(c10::Device device) {
  if (device.is_cpu()) return std::nullopt;
  const c10::CachingDeviceAllocator::DeviceStats stats =
      c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  using c10::CachingAllocator::StatType;
  return stats.allocated_bytes[static_cast<size_t>(StatType::AGGREGATE)].peak;
}

void AllowTf32(bool allow) {
  at::globalContext().setAllowTF32CuBLAS(allow);
  at::globalContext().setAllowTF32CuDNN(allow);
}

void UseDeterministicAlgorithms(bool deterministic) {
  // cuBLAS reads it when it starts; without it LibTorch refuses deterministic products.
  if (deterministic) setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  at::globalContext().setDeterministicAlgorithms(deterministic, /*warn_only=*/false);
  at::globalContext().setDeterministicCuDNN(deterministic);
}

}  // namespace orchard::nn
