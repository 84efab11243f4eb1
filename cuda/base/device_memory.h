// Memory of the current CUDA device, copies to and from it, and failures of CUDA's calls as
// Orchard's errors. For files that are compiled with CUDA only.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace orchard::cuda {

// Throws "<what>: <CUDA's reason>" unless the call succeeded: ResourceError without memory or
// device, else an internal Error. The failure is cleared, so that later launches do not report it.
void CheckCuda(cudaError_t status, const std::string& what);

struct FreeDevice {
  void operator()(void* memory) const { cudaFree(memory); }
};
struct FreePinned {
  void operator()(void* memory) const { cudaFreeHost(memory); }
};
template <class T>
using DeviceMemory = std::unique_ptr<T, FreeDevice>;
template <class T>
using PinnedMemory = std::unique_ptr<T, FreePinned>;

// Room for `count` values (for one, where that is zero), which are not set.
template <class T>
DeviceMemory<T> AllocateOnDevice(int64_t count, const std::string& what) {
  void* memory = nullptr;
  CheckCuda(cudaMalloc(&memory, static_cast<size_t>(std::max<int64_t>(count, 1)) * sizeof(T)),
            what);
  return DeviceMemory<T>(static_cast<T*>(memory));
}

// On the host, where copies use the bus fully.
template <class T>
PinnedMemory<T> AllocatePinned(int64_t count, const std::string& what) {
  void* memory = nullptr;
  CheckCuda(cudaMallocHost(&memory, static_cast<size_t>(count) * sizeof(T)), what);
  return PinnedMemory<T>(static_cast<T*>(memory));
}

// Both enqueue, and return before pinned memory is read or written.
template <class T>
void CopyToDevice(T* to, const T* from, int64_t count, cudaStream_t stream) {
  CheckCuda(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(T),
                            cudaMemcpyHostToDevice, stream),
            "copy to the device");
}
template <class T>
void CopyToHost(T* to, const T* from, int64_t count, cudaStream_t stream) {
  CheckCuda(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(T),
                            cudaMemcpyDeviceToHost, stream),
            "copy from the device");
}

// Copies on a device that live as long as this.
class DeviceConstants {
 public:
  template <class T>
  T* Upload(const std::vector<T>& values, const std::string& what, cudaStream_t stream) {
    const auto count = static_cast<int64_t>(values.size());
    DeviceMemory<T> memory = AllocateOnDevice<T>(count, what);
    CopyToDevice(memory.get(), values.data(), count, stream);
    T* data = memory.get();
    held_.emplace_back(memory.release());
    return data;
  }

 private:
  std::vector<DeviceMemory<void>> held_;
};

}  // namespace orchard::cuda
