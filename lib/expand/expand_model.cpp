#include "expand/expand_model.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/signals.h"
#include "base/thread_pool.h"
#include "expand/job.h"
#include "expand/shard_writer.h"
#include "io/json_file.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Source tensors whose first user, in order of target names, stands in each shard: each is hashed
// once, whatever the parts.
std::vector<std::vector<const io::TensorInfo*>> FirstUses(const SourceModel& source,
                                                          const Plan& plan,
                                                          const std::vector<Shard>& shards) {
  std::vector<std::vector<const io::TensorInfo*>> first(shards.size());
  std::set<std::string> seen;
  for (size_t k = 0; k < shards.size(); ++k) {
    for (size_t t : shards[k].tensors) {
      for (const std::string& name : plan.tensors[t].sources) {
        if (seen.insert(name).second) first[k].push_back(source.weights.Find(name));
      }
    }
  }
  return first;
}

// ---- the folder
// -----------------------------------------------------------------------------------------------------------------

// DST.partial with the job in it, made by whichever part comes first. Removes what it made unless
// told to keep it.
class JobFolder {
 public:
  JobFolder(const fs::path& destination, const Json& job, const ExpandOptions& options)
      : path_(PartialOf(destination)) {
    if (fs::exists(destination) && !options.force) {
      throw UsageError("already exists", destination.string(), "--force replaces it");
    }
    const bool shared = options.resume || options.parts > 1;
    if (fs::exists(path_) && options.force && !shared) fs::remove_all(path_);
    if (fs::exists(path_ / "job.json")) {
      if (!shared) {
        throw UsageError("an unfinished expansion is here", path_.string(),
                         "--resume continues it, --force starts anew");
      }
      CheckSameJob(job);
      return;
    }
    std::error_code error;
    made_ = fs::create_directories(path_, error);
    if (error) throw ResourceError("cannot make the folder: " + error.message(), path_.string());
    try {
      PublishJob(job);
    } catch (...) {
      RemoveIfMade();
      throw;
    }
  }

  ~JobFolder() {
    if (!keep_) RemoveIfMade();
  }

  void Keep() { keep_ = true; }
  const fs::path& path() const { return path_; }

 private:
  void CheckSameJob(const Json& job) const {
    if (Json::parse(io::ReadJsonFile(path_ / "job.json").dump()) !=
        Json::parse(nlohmann::json::parse(job.dump()).dump())) {
      throw UsageError("another expansion is unfinished here", path_.string(),
                       "repeat its options, or --force in a run without --part to start anew");
    }
  }

  void RemoveIfMade() const {
    std::error_code ignored;
    if (made_) fs::remove_all(path_, ignored);
  }

  // Several parts may start at once: the first to link its file wins, the others compare.
  void PublishJob(const Json& job) {
    const fs::path draft = path_ / ("job." + std::to_string(::getpid()) + ".draft");
    WriteFileAtomically(draft, job.dump(1) + "\n");
    std::error_code error;
    fs::create_hard_link(draft, path_ / "job.json", error);
    fs::remove(draft);
    if (error && !fs::exists(path_ / "job.json")) {
      throw ResourceError("cannot write: " + error.message(), (path_ / "job.json").string());
    }
    if (error) CheckSameJob(job);
  }

  fs::path path_;
  bool made_ = false, keep_ = false;
};

// The source must outlive the work, and where it is a folder, that is read to the end: nothing may
// be written into it or take its place.
void CheckApart(const SourceModel& source, const fs::path& destination) {
  std::error_code ignored;
  const bool folder = fs::is_directory(source.path, ignored);
  const fs::path from = fs::weakly_canonical(folder ? source.directory : source.path, ignored);
  for (fs::path at = fs::weakly_canonical(destination, ignored);; at = at.parent_path()) {
    if (!from.empty() && at == from) {
      throw UsageError("the destination is the source, or inside it", destination.string(),
                       "give a folder beside it");
    }
    if (!at.has_relative_path()) return;
  }
}

// LESA's plan says where new layers stand; what they hold has to be predicted first.
void CheckPredicted(const Plan& plan) {
  if (plan.method != Method::kLesa) return;
  for (const TensorOp& op : plan.tensors) {
    if (op.new_layer && op.kind == OpKind::kMatrix) {
      throw Error(ExitCode::kInternal, "the new layers of lesa are not predicted", op.name);
    }
  }
}

// More threads than processors, so that some compute while others wait for the disk.
constexpr int kThreadsPerProcessor = 2;

// Two for one device: while the disk takes one's tensor, the other's is computed. Their four
// buffers have a quarter of the memory together; the blocks of the processors have another.
std::vector<std::unique_ptr<GpuExpander>> MakeGpuExpanders(const ExpandOptions& options) {
  std::vector<std::unique_ptr<GpuExpander>> gpus;
  if (!options.gpu) return gpus;
  const int64_t staging = std::clamp<int64_t>(options.max_ram / 16, 64 << 10, 32 << 20);
  for (int i = 0; i < 2; ++i) gpus.push_back(std::make_unique<GpuExpander>(*options.gpu, staging));
  return gpus;
}

int64_t BytesOf(const std::vector<Shard>& shards, ShardRange range) {
  int64_t sum = 0;
  for (size_t k = range.first; k < range.end; ++k) sum += shards[k].bytes;
  return sum;
}

}  // namespace

int64_t PartBytes(const Plan& plan, const ExpandOptions& options) {
  const std::vector<Shard> shards = DivideIntoShards(plan, options.shard_size);
  return BytesOf(shards, ShardsOfPart(shards.size(), options.part, options.parts));
}

ExpandReport ExpandModel(const SourceModel& source, const Plan& plan, const MethodOptions& method,
                         const fs::path& destination, const ExpandOptions& options) {
  const Clock::time_point start = Clock::now();
  const std::vector<Shard> shards = DivideIntoShards(plan, options.shard_size);
  const ShardRange range = ShardsOfPart(shards.size(), options.part, options.parts);
  CheckPredicted(plan);
  const auto hashes = FirstUses(source, plan, shards);
  CheckApart(source, destination);
  JobFolder folder(destination, MakeJob(source, plan, method, options, shards), options);
  RequireFreeBytes(folder.path(), BytesOf(shards, range));
  ExpandReport report;
  ThreadPool pool(kThreadsPerProcessor * std::max(1, options.threads));
  const std::vector<std::unique_ptr<GpuExpander>> gpus = MakeGpuExpanders(options);
  const StopSignals signals;
  try {
    for (size_t k = range.first; k < range.end; ++k) {
      const fs::path done = folder.path() / ReportName(k);
      if (fs::exists(done) && fs::exists(folder.path() / shards[k].file)) {
        ++report.shards_kept;
        continue;
      }
      ShardWriter writer(source, plan, shards[k], options, method.allow_nonfinite, gpus);
      const auto& to_hash = options.hash_sources ? hashes[k] : std::vector<const io::TensorInfo*>();
      WriteFileAtomically(done, writer.Write(folder.path(), to_hash, pool));
      report.gpu_tensors += writer.gpu_tensors();
      ++report.shards_written;
      report.bytes_written += shards[k].bytes;
    }
    if (options.part == 1) {
      CopyPassThrough(source, plan, folder.path());
      if (options.write_beside) options.write_beside(folder.path());
    }
  } catch (const InterruptedError&) {
    folder.Keep();
    throw;
  }
  folder.Keep();
  if (options.parts == 1) {
    Finalize(destination, options.force);
    report.finalized = true;
  }
  report.seconds = SecondsSince(start);
  return report;
}

}  // namespace orchard::expand
