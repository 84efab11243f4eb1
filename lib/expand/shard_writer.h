// Writes one shard of a target: its tensors block by block, on all processors and, where they are
// given, on GPUs.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/semaphore.h"
#include "base/thread_pool.h"
#include "expand/expand_model.h"
#include "expand/gpu_expander.h"
#include "expand/job.h"
#include "expand/tensor_runner.h"
#include "io/safetensors.h"

namespace orchard::expand {

class ShardWriter {
 public:
  // All but `options` must outlive the writer. `gpus` may be empty.
  ShardWriter(const SourceModel& source, const Plan& plan, const Shard& shard,
              const ExpandOptions& options, bool allow_nonfinite,
              const std::vector<std::unique_ptr<GpuExpander>>& gpus);

  // Writes folder / shard.file, and hashes these tensors of the source on the way. Returns one JSON
  // line per tensor, in order of name. Throws as ExpandModel.
  std::string Write(const std::filesystem::path& folder,
                    const std::vector<const io::TensorInfo*>& hashes, ThreadPool& pool);

  int64_t gpu_tensors() const { return static_cast<int64_t>(gpu_ops_.size()); }

 private:
  // A piece of work: units [begin, end) of a tensor, the hash of a source tensor, or having the
  // sources of a tensor read from the disk before its turn comes.
  struct Unit {
    size_t tensor = 0;  // within the shard
    int64_t begin = 0, end = 0;
    const io::TensorInfo* hash = nullptr;
    bool prefetch = false;
  };
  struct TensorState {
    std::atomic<int64_t> microseconds = 0, pending = 0;
  };

  int64_t BlockBytes() const;
  std::vector<Unit> MakeUnits(const io::SafetensorsLayout& layout,
                              const std::vector<const io::TensorInfo*>& hashes);
  void RunOnProcessors(const std::vector<Unit>& units, std::vector<std::string>& digests,
                       io::SafetensorsWriter& writer, ThreadPool& pool);
  void RunUnit(const Unit& unit, io::SafetensorsWriter& writer);
  void RunOnGpu(GpuExpander& gpu, io::SafetensorsWriter& writer);
  void ExpandOnGpu(size_t tensor, GpuExpander& gpu, io::SafetensorsWriter& writer);
  void PrefetchSources(const TensorOp& op) const;
  void ReleaseSources(const TensorOp& op) const;
  std::string Report(const std::vector<const io::TensorInfo*>& hashes,
                     const std::map<const io::TensorInfo*, std::string>& digest_of) const;

  const SourceModel& source_;
  const Shard& shard_;
  const ExpandOptions options_;
  const std::vector<std::unique_ptr<GpuExpander>>& gpus_;
  std::vector<std::unique_ptr<TensorRunner>> runners_;
  std::vector<const TensorOp*> ops_;
  std::unique_ptr<TensorState[]> state_;
  std::vector<size_t> gpu_ops_;  // tensors that GPUs expand, whole
  std::atomic<size_t> next_gpu_op_ = 0;
  std::atomic<bool> stopped_ = false;
  Semaphore processors_;
};

}  // namespace orchard::expand
