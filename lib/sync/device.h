// Where the arenas of a job live, and where its update kernels run.
//
// On a GPU arenas lie in managed memory: whatever else a job does with them (evaluation,
// checkpoints, algorithms without kernels) reads the same pointers once the device is done.
// Messages lie
//   - in managed memory, where NCCL sends them: they never leave the device, and no thread waits
//   - else in pinned host memory: kernels gather into a message and read its mean from it across
//   the
//     bus, and MPI sends it as it is
#pragma once

#include <cstdint>
#include <memory>
#include <memory_resource>

#include "sync/drift_sums.h"
#include "sync/top_k_select.h"
#include "sync/update_kernels.h"
#include "sync/wire_codec.h"

namespace orchard::sync {

class Device {
 public:
  // The host.
  static const Device& Cpu();
  // GPU number `index`. Kernels run on the default stream, as LibTorch's do. Throws ResourceError
  // where there is none, or no kernels in this build.
  static std::unique_ptr<Device> Cuda(int index);

  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  bool is_cpu() const { return index_ < 0; }
  int index() const { return index_; }  // of the GPU; -1: the host
  // Memory for arenas, for pieces and messages that the host sends, and for messages that the
  // device sends; it outlives what is taken from it.
  virtual std::pmr::memory_resource& arenas() const = 0;
  virtual std::pmr::memory_resource& messages() const = 0;
  virtual std::pmr::memory_resource& device_messages() const = 0;
  // Copies between any two places, in the order of the kernels.
  virtual void Copy(void* to, const void* from, size_t bytes) const = 0;
  // Makes it the device of this thread.
  virtual void Enter() const = 0;
  // Until kernels are done, and the host may read what they have written.
  virtual void Wait() const = 0;

 protected:
  explicit Device(int index) : index_(index) {}

 private:
  int index_;
};

// The kernels of update_kernels.h, wire_codec.h, top_k_select.h and drift_sums.h where the device
// says. T is float or double. On a GPU they are enqueued, but for SelectTopK and SumDrift, which
// take host memory, too, and return when they are done.
template <class T>
void LocalStep(const Device& device, const UpdateArgs<T>& args, ThreadPool* pool);
template <class T>
void SplitStep(const Device& device, const UpdateArgs<T>& args, ThreadPool* pool);
template <class T>
void ErrorFeedback(const Device& device, const UpdateArgs<T>& args, ThreadPool* pool);
template <class T>
void QsparseStep(const Device& device, const UpdateArgs<T>& args, ThreadPool* pool);
template <class T>
void Gather(const Device& device, const MoveArgs<T>& args);
template <class T>
void Take(const Device& device, const MoveArgs<T>& args);
template <class T>
void Scatter(const Device& device, const MoveArgs<T>& args);
template <class T>
void ScatterAdd(const Device& device, const MoveArgs<T>& args);
template <class T>
void ResetError(const Device& device, const MoveArgs<T>& args, T theta, T* error);
template <class T, class Half>
void EncodeHalf(const Device& device, const HalfArgs<T, Half>& args);
template <class T>
void FindExponents(const Device& device, const Int8Args<T>& args);
template <class T>
void EncodeInt8(const Device& device, const Int8Args<T>& args);
template <class T>
void DecodeInt8(const Device& device, const Int8Args<T>& args);
//   size  of the arena
//   kept  of all tensors
template <class T>
void SelectTopK(const Device& device, const TopKArgs<T>& args, int64_t size, int64_t kept);
DriftSums SumDrift(const Device& device, int64_t count, const float* values, const float* mean);

}  // namespace orchard::sync
