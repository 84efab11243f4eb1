#include "sync/device.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>
#include <mutex>
#include <type_traits>

#include "base/error.h"

#if ORCHARD_HAVE_CUDA
#include <cuda_runtime_api.h>

#include "cuda/base/device_memory.h"
#include "cuda/sync/drift_sums.h"
#include "cuda/sync/top_k_select.h"
#include "cuda/sync/update_kernels.h"
#include "cuda/sync/wire_codec.h"
#endif

namespace orchard::sync {
namespace {

class CpuDevice : public Device {
 public:
  CpuDevice() : Device(-1) {}
  std::pmr::memory_resource& arenas() const override { return *std::pmr::new_delete_resource(); }
  std::pmr::memory_resource& messages() const override { return arenas(); }
  std::pmr::memory_resource& device_messages() const override { return arenas(); }
  void Copy(void* to, const void* from, size_t bytes) const override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
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

// Memory that is slow to get: what is given back is kept for what comes next, which is as large in
// the next step. Blocks of up to twice the size are taken.
class KeptMemory : public std::pmr::memory_resource {
 public:
  explicit KeptMemory(std::pmr::memory_resource& upstream) : upstream_(upstream) {}
  ~KeptMemory() override {
    for (const auto& [bytes, memory] : free_) upstream_.deallocate(memory, bytes, kAlignment);
  }

 private:
  static constexpr size_t kAlignment = 256;

  void* do_allocate(size_t bytes, size_t) override {
    const std::lock_guard lock(mutex_);
    void* memory = nullptr;
    size_t size = std::max<size_t>(bytes, kAlignment);
    const auto found = free_.lower_bound(size);
    if (found != free_.end() && found->first <= 2 * size) {
      size = found->first;
      memory = found->second;
      free_.erase(found);
    } else {
      memory = upstream_.allocate(size, kAlignment);
    }
    sizes_[memory] = size;
    return memory;
  }
  void do_deallocate(void* memory, size_t, size_t) override {
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(memory);
    free_.emplace(found->second, memory);
    sizes_.erase(found);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  std::pmr::memory_resource& upstream_;
  std::mutex mutex_;
  std::multimap<size_t, void*> free_;
  std::map<void*, size_t> sizes_;  // of what is in use
};

class CudaDevice : public Device {
 public:
  explicit CudaDevice(int index) : Device(index) { Enter(); }
  void Enter() const override { Check(cudaSetDevice(index()), "cudaSetDevice"); }
  std::pmr::memory_resource& arenas() const override { return managed_; }
  std::pmr::memory_resource& messages() const override { return kept_pinned_; }
  std::pmr::memory_resource& device_messages() const override { return kept_managed_; }
  void Copy(void* to, const void* from, size_t bytes) const override {
    if (bytes > 0) Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault), "cudaMemcpyAsync");
  }
  void Wait() const override { Check(cudaDeviceSynchronize(), "cudaDeviceSynchronize"); }

 private:
  mutable CudaMemory managed_{false}, pinned_{true};
  mutable KeptMemory kept_managed_{managed_}, kept_pinned_{pinned_};
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
template <class T, class Half>
void EncodeHalf([[maybe_unused]] const Device& d, const HalfArgs<T, Half>& a) {
  ORCHARD_ON(d, EncodeHalf(a), cuda::EncodeHalf(a, nullptr));
}
template <class T>
void FindExponents([[maybe_unused]] const Device& d, const Int8Args<T>& a) {
  ORCHARD_ON(d, FindExponents(a), cuda::FindExponents(a, nullptr));
}
template <class T>
void EncodeInt8([[maybe_unused]] const Device& d, const Int8Args<T>& a) {
  ORCHARD_ON(d, EncodeInt8(a), cuda::EncodeInt8(a, nullptr));
}
template <class T>
void DecodeInt8([[maybe_unused]] const Device& d, const Int8Args<T>& a) {
  ORCHARD_ON(d, DecodeInt8(a), cuda::DecodeInt8(a, nullptr));
}
#undef ORCHARD_ON

#if ORCHARD_HAVE_CUDA
namespace {

using cuda::AllocateOnDevice;
using cuda::DeviceMemory;

// A copy on the device.
template <class V>
DeviceMemory<V> There(const Device& device, const V* values, int64_t count, const char* what) {
  DeviceMemory<V> memory = AllocateOnDevice<V>(count, what);
  device.Copy(memory.get(), values, static_cast<size_t>(count) * sizeof(V));
  return memory;
}

}  // namespace
#endif

template <class T>
void SelectTopK([[maybe_unused]] const Device& d, const TopKArgs<T>& a,
                [[maybe_unused]] int64_t size, [[maybe_unused]] int64_t kept) {
#if ORCHARD_HAVE_CUDA
  if (!d.is_cpu()) {
    d.Enter();
    const auto values = There(d, a.values, size, "top-k");
    const auto segments = There(d, a.segments, a.segment_count, "top-k");
    const auto places = AllocateOnDevice<int32_t>(kept, "top-k");
    cuda::SelectTopK(TopKArgs<T>{values.get(), segments.get(), a.segment_count, places.get()},
                     nullptr);
    d.Copy(a.places, places.get(), static_cast<size_t>(kept) * sizeof(int32_t));
    d.Wait();
    return;
  }
#endif
  SelectTopK(a);
}

DriftSums SumDrift([[maybe_unused]] const Device& d, int64_t count, const float* values,
                   const float* mean) {
#if ORCHARD_HAVE_CUDA
  if (!d.is_cpu()) {
    d.Enter();
    const auto own = There(d, values, count, "drift"), of_all = There(d, mean, count, "drift");
    const auto workspace = AllocateOnDevice<std::byte>(cuda::DriftWorkspace(count), "drift");
    const auto sums = AllocateOnDevice<DriftSums>(1, "drift");
    cuda::SumDrift(count, own.get(), of_all.get(), workspace.get(), sums.get(), nullptr);
    DriftSums result;
    d.Copy(&result, sums.get(), sizeof result);
    d.Wait();
    return result;
  }
#endif
  return SumDrift(count, values, mean);
}

#define ORCHARD_INSTANTIATE(T)                                                   \
  template void LocalStep(const Device&, const UpdateArgs<T>&, ThreadPool*);     \
  template void SplitStep(const Device&, const UpdateArgs<T>&, ThreadPool*);     \
  template void ErrorFeedback(const Device&, const UpdateArgs<T>&, ThreadPool*); \
  template void QsparseStep(const Device&, const UpdateArgs<T>&, ThreadPool*);   \
  template void Gather(const Device&, const MoveArgs<T>&);                       \
  template void Take(const Device&, const MoveArgs<T>&);                         \
  template void Scatter(const Device&, const MoveArgs<T>&);                      \
  template void ScatterAdd(const Device&, const MoveArgs<T>&);                   \
  template void ResetError(const Device&, const MoveArgs<T>&, T, T*);            \
  template void EncodeHalf(const Device&, const HalfArgs<T, BFloat16>&);         \
  template void EncodeHalf(const Device&, const HalfArgs<T, Float16>&);          \
  template void FindExponents(const Device&, const Int8Args<T>&);                \
  template void EncodeInt8(const Device&, const Int8Args<T>&);                   \
  template void DecodeInt8(const Device&, const Int8Args<T>&);                   \
  template void SelectTopK(const Device&, const TopKArgs<T>&, int64_t, int64_t);
ORCHARD_INSTANTIATE(float)
ORCHARD_INSTANTIATE(double)
#undef ORCHARD_INSTANTIATE

}  // namespace orchard::sync
