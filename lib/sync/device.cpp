#include "sync/device.h"

#include <type_traits>

#include "base/error.h"

#if ORCHARD_HAVE_CUDA
#include <cuda_runtime_api.h>

#include "cuda/sync/update_kernels.h"
#endif

namespace orchard::sync {
namespace {

class CpuDevice : public Device {
 public:
  CpuDevice() : Device(-1) {}
  std::pmr::memory_resource& arenas() const override { return *std::pmr::new_delete_resource(); }
  std::pmr::memory_resource& messages() const override { return arenas(); }
  void Enter() const override {}
  void Wait() const override {}
};

#if ORCHARD_HAVE_CUDA

void Check(cudaError_t status, const char* call) {
  if (status != cudaSuccess) throw ResourceError(cudaGetErrorString(status), call);
}

// cudaMallocManaged or cudaMallocHost, whose blocks are aligned to 256 bytes and more.
class CudaMemory : public std::pmr::memory_resource {
 public:
  explicit CudaMemory(bool pinned) : pinned_(pinned) {}

 private:
  void* do_allocate(size_t bytes, size_t) override {
    void* memory = nullptr;
    if (pinned_) {
      Check(cudaMallocHost(&memory, bytes), "cudaMallocHost");
    } else {
      Check(cudaMallocManaged(&memory, bytes), "cudaMallocManaged");
    }
    return memory;
  }
  void do_deallocate(void* memory, size_t, size_t) override {
    if (pinned_) {
      cudaFreeHost(memory);
    } else {
      cudaFree(memory);
    }
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  bool pinned_;
};

// Pinned memory is slow to get: what is given back is kept for later messages.
class CudaDevice : public Device {
 public:
  explicit CudaDevice(int index) : Device(index), pool_(&pinned_) { Enter(); }
  void Enter() const override { Check(cudaSetDevice(index()), "cudaSetDevice"); }
  std::pmr::memory_resource& arenas() const override { return managed_; }
  std::pmr::memory_resource& messages() const override { return pool_; }
  void Wait() const override { Check(cudaDeviceSynchronize(), "cudaDeviceSynchronize"); }

 private:
  mutable CudaMemory managed_{false}, pinned_{true};
  mutable std::pmr::synchronized_pool_resource pool_;
};

#endif

}  // namespace

const Device& Device::Cpu() {
  static const CpuDevice cpu;
  return cpu;
}

std::unique_ptr<Device> Device::Cuda([[maybe_unused]] int index) {
#if ORCHARD_HAVE_CUDA
  if (!cuda::DeviceAvailable()) {
    throw ResourceError("no CUDA device", "--device cuda", "check the driver, or use --device cpu");
  }
  return std::make_unique<CudaDevice>(index);
#else
  throw ResourceError("this build has no CUDA kernels", "--device cuda",
                      "build with nvcc, or use --device cpu");
#endif
}

// One body for each: the twin or the launcher.
#if ORCHARD_HAVE_CUDA
#define ORCHARD_ON(device, host, launch)                 \
  if ((device).is_cpu()) return host;                    \
  if constexpr (std::is_same_v<T, float>) {              \
    launch;                                              \
  } else {                                               \
    throw Error(ExitCode::kInternal, "kernels are f32"); \
  }
#else
#define ORCHARD_ON(device, host, launch) host
#endif

template <class T>
void LocalStep([[maybe_unused]] const Device& d, const UpdateArgs<T>& a, ThreadPool* pool) {
  ORCHARD_ON(d, LocalStep(a, pool), cuda::LocalStep(a, nullptr));
}
template <class T>
void SplitStep([[maybe_unused]] const Device& d, const UpdateArgs<T>& a, ThreadPool* pool) {
  ORCHARD_ON(d, SplitStep(a, pool), cuda::SplitStep(a, nullptr));
}
template <class T>
void ErrorFeedback([[maybe_unused]] const Device& d, const UpdateArgs<T>& a, ThreadPool* pool) {
  ORCHARD_ON(d, ErrorFeedback(a, pool), cuda::ErrorFeedback(a, nullptr));
}
template <class T>
void QsparseStep([[maybe_unused]] const Device& d, const UpdateArgs<T>& a, ThreadPool* pool) {
  ORCHARD_ON(d, QsparseStep(a, pool), cuda::QsparseStep(a, nullptr));
}
template <class T>
void Gather([[maybe_unused]] const Device& d, const MoveArgs<T>& a) {
  ORCHARD_ON(d, Gather(a), cuda::Gather(a, nullptr));
}
template <class T>
void Take([[maybe_unused]] const Device& d, const MoveArgs<T>& a) {
  ORCHARD_ON(d, Take(a), cuda::Take(a, nullptr));
}
template <class T>
void Scatter([[maybe_unused]] const Device& d, const MoveArgs<T>& a) {
  ORCHARD_ON(d, Scatter(a), cuda::Scatter(a, nullptr));
}
template <class T>
void ScatterAdd([[maybe_unused]] const Device& d, const MoveArgs<T>& a) {
  ORCHARD_ON(d, ScatterAdd(a), cuda::ScatterAdd(a, nullptr));
}
template <class T>
void ResetError([[maybe_unused]] const Device& d, const MoveArgs<T>& a, T theta, T* error) {
  ORCHARD_ON(d, ResetError(a, theta, error), cuda::ResetError(a, theta, error, nullptr));
}
#undef ORCHARD_ON

#define ORCHARD_INSTANTIATE(T)                                                   \
  template void LocalStep(const Device&, const UpdateArgs<T>&, ThreadPool*);     \
  template void SplitStep(const Device&, const UpdateArgs<T>&, ThreadPool*);     \
  template void ErrorFeedback(const Device&, const UpdateArgs<T>&, ThreadPool*); \
  template void QsparseStep(const Device&, const UpdateArgs<T>&, ThreadPool*);   \
  template void Gather(const Device&, const MoveArgs<T>&);                       \
  template void Take(const Device&, const MoveArgs<T>&);                         \
  template void Scatter(const Device&, const MoveArgs<T>&);                      \
  template void ScatterAdd(const Device&, const MoveArgs<T>&);                   \
  template void ResetError(const Device&, const MoveArgs<T>&, T, T*);
ORCHARD_INSTANTIATE(float)
ORCHARD_INSTANTIATE(double)
#undef ORCHARD_INSTANTIATE

}  // namespace orchard::sync
