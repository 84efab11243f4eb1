// Carries out a plan out of core: the target's shards are written block by block while the source
// is mapped, so memory does not grow with the model. The same bytes come out for any number of
// threads, block size, division into parts, and after a resume.
//
// While it works, everything stands in DST.partial; `Finalize` completes it and renames:
//   DST.partial/job.json           the job: what every part must agree on, and all that the end
//   needs besides the shards DST.partial/shard-<k>.jsonl    report of a finished shard, written
//   after the shard itself
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "expand/plan.h"

namespace orchard::expand {

struct ExpandOptions {
  int64_t shard_size = 5'000'000'000;  // bytes of tensors in one file
  int64_t max_ram = 1'000'000'000;     // bytes of buffers over all threads
  int64_t block_bytes = 0;             // of one buffer; 0: chosen from max_ram
  int threads = 1;
  uint64_t seed = 0;
  int64_t part = 1, parts = 1;  // this process writes the part-th of `parts` groups of shards
  bool resume = false;          // keep finished shards of an earlier try
  bool force = false;           // replace DST, and an unfinished DST.partial
  bool hash_sources = true;     // SHA-256 of every source tensor, for provenance
  bool page_cache = false;      // leave the target in the page cache rather than pass it
  std::optional<int> gpu;       // CUDA device that splits matrices, beside the processors
  // Called by the first part with the folder, before it becomes DST: writes what belongs beside the
  // model.
  std::function<void(const std::filesystem::path& folder)> write_beside;
  std::function<void(int64_t bytes)> on_progress;  // called from any thread with bytes just written
};

struct ExpandReport {
  int64_t shards_written = 0, shards_kept = 0, bytes_written = 0;
  int64_t gpu_tensors = 0;  // expanded on a GPU
  double seconds = 0;
  bool finalized = false;
};

// Bytes that this part will write, for a progress line.
int64_t PartBytes(const Plan& plan, const ExpandOptions& options);

// Writes this part's shards; with parts = 1 also finalizes. Throws UsageError (DST exists, another
// job is in DST.partial), DataError (damaged source, NaN), ResourceError (disk full: known before
// any work; memory), InterruptedError (a stop was asked for: finished shards stay for --resume). On
// every other error, nothing that this call made is left.
ExpandReport ExpandModel(const SourceModel& source, const Plan& plan, const MethodOptions& method,
                         const std::filesystem::path& destination, const ExpandOptions& options);

// Completes DST.partial once all shards are there: index, config.json, files that pass through,
// lemon_expand.json, report.jsonl. Throws DataError naming the shards that are missing.
void Finalize(const std::filesystem::path& destination, bool force);

}  // namespace orchard::expand
