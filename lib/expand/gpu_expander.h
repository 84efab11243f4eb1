// EXPAND-LINEAR on a GPU, for expansions out of core: a matrix's source goes to the device once,
// its target comes back in pieces. The bytes are those of the CPU (cuda/expand/expand_matrix.h).
//
// What it costs. The bus carries source and target (source / 4 + target for twice the width), so
// the disk bounds it as it bounds the CPU; it pays where processors are few or the storage is fast.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "expand/tensor_op.h"
#include "expand/tensor_runner.h"

namespace orchard::expand {

class GpuExpander {
 public:
  // Works on CUDA device `device` through two buffers of `staging_bytes` of pinned host memory.
  // Throws ResourceError: no such device, no memory, or a build without kernels.
  GpuExpander(int device, int64_t staging_bytes);
  ~GpuExpander();
  GpuExpander(const GpuExpander&) = delete;
  GpuExpander& operator=(const GpuExpander&) = delete;

  // Whether the op is work for a GPU: a matrix whose columns are split. Everything else is a copy,
  // or small.
  static bool Takes(const TensorOp& op);

  // Whether the device has room for the op now: its source, and at least one unit of its target.
  bool Fits(const TensorOp& op) const;

  // Expands the whole tensor and hands its bytes to `write(offset, bytes)` in order; `bytes` are
  // valid during the call only, and lie in memory as they will in a file where the tensor begins at
  // `file_offset` (io/partial_file.h). Waits for the device. One call at a time. Throws DataError
  // as the runner does, ResourceError when the device is out of memory.
  void Run(const TensorRunner& runner, const TensorOp& op, uint64_t file_offset,
           const std::function<void(int64_t offset, std::span<const std::byte> bytes)>& write);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::expand
