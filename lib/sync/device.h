// Where the arenas of a job live, and where its update kernels run.
//
// On a GPU arenas lie in managed memory and messages in pinned host memory: kernels gather into a
// message and read its mean from it across the bus, MPI sends it as it is, and whatever else a job
// does with arenas (evaluation, checkpoints, algorithms without kernels) reads the same pointers
// once the device is done.
#pragma once

#include <cstdint>
#include <memory>
#include <memory_resource>

#include "sync/update_kernels.h"

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
  // Memory for arenas, and for messages and pieces; it outlives what is taken from it.
  virtual std::pmr::memory_resource& arenas() const = 0;
  virtual std::pmr::memory_resource& messages() const = 0;
  // Makes it the device of this thread.
  virtual void Enter() const = 0;
  // Until kernels are done, and the host may read what they have written.
  virtual void Wait() const = 0;

 protected:
  explicit Device(int index) : index_(index) {}

 private:
  int index_;
};

// The kernels of update_kernels.h where the device says. T is float or double.
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

}  // namespace orchard::sync
