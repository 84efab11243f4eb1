#include "cuda/base/launch.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "base/error.h"

namespace orchard::cuda {
namespace {

constexpr int kBlocksPerMultiprocessor = 16;

int Multiprocessors() {
  int device = 0, count = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) != cudaSuccess) {
    return 1;
  }
  return count;
}

}  // namespace

bool DeviceAvailable() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess)
    cudaGetLastError();  // clears it, so that the next launch does not report it
  return status == cudaSuccess && count > 0;
}

void CheckArgument(bool ok, const char* kernel, const std::string& tensor,
                   const std::string& what) {
  if (!ok) throw UsageError(std::string(kernel) + ": " + what, tensor);
}

void CheckLaunch(const char* kernel, const std::string& tensor) {
  const cudaError_t status = cudaGetLastError();
  if (status == cudaSuccess) return;
  const std::string what = "kernel " + std::string(kernel) + ": " + cudaGetErrorString(status);
  switch (status) {
    case cudaErrorMemoryAllocation:
      throw ResourceError(what, tensor, "use a smaller batch");
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
      throw ResourceError(what, tensor, "check the driver, or use --device cpu");
    case cudaErrorNoKernelImageForDevice:
      throw ResourceError(what, tensor, "needs a GPU of compute capability 8.0 or newer");
    default:
      throw Error(ExitCode::kInternal, what, tensor);
  }
}

int GridSize(int64_t items, int64_t per_block) {
  const int64_t blocks = (items + per_block - 1) / per_block;
  const int64_t most = static_cast<int64_t>(Multiprocessors()) * kBlocksPerMultiprocessor;
  return static_cast<int>(std::clamp<int64_t>(blocks, 1, most));
}

}  // namespace orchard::cuda
