#include "cuda/base/device_memory.h"

#include "base/error.h"

namespace orchard::cuda {

void CheckCuda(cudaError_t status, const std::string& what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears it
  const std::string text = what + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation || status == cudaErrorInvalidDevice ||
      status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver)
    throw ResourceError(text, "", "free the device's memory, or use --device cpu");
  throw Error(ExitCode::kInternal, text);
}

}  // namespace orchard::cuda
