#include "expand/expand_model.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <semaphore>
#include <set>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/signals.h"
#include "base/thread_pool.h"
#include "expand/job.h"
#include "expand/tensor_runner.h"
#include "io/json_file.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// ---- one shard
// ------------------------------------------------------------------------------------------------------------------

// A piece of work: units [begin, end) of a tensor, the hash of a source tensor, or having the
// sources of a tensor read from the disk before its turn comes.
struct Unit {
  size_t tensor = 0;  // within the shard
  int64_t begin = 0, end = 0;
  const io::TensorInfo* hash = nullptr;
  bool prefetch = false;
};

// More threads than processors are at work, so that some compute while others wait for the disk;
// at most `threads` compute at a time.
using Processors = std::counting_semaphore<>;
constexpr int kThreadsPerProcessor = 2;

class Turn {
 public:
  explicit Turn(Processors& processors) : processors_(processors) { processors_.acquire(); }
  ~Turn() { processors_.release(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Processors& processors_;
};

class ShardWriter {
 public:
  ShardWriter(const SourceModel& source, const Plan& plan, const Shard& shard,
              const ExpandOptions& options, bool allow_nonfinite)
      : source_(source),
        shard_(shard),
        options_(options),
        processors_(std::max(1, options.threads)) {
    for (size_t t : shard.tensors) {
      const TensorOp& op = plan.tensors[t];
      runners_.push_back(std::make_unique<TensorRunner>(
          source.weights, op, RunnerOptions{options.seed, allow_nonfinite}));
      ops_.push_back(&op);
    }
    state_ = std::make_unique<TensorState[]>(ops_.size());
  }

  // Reports one JSON line per tensor, in order of name.
  std::string Write(const fs::path& folder, const std::vector<const io::TensorInfo*>& hashes,
                    ThreadPool& pool) {
    std::vector<io::TensorInfo> infos;
    for (const TensorOp* op : ops_) infos.push_back({op->name, op->dtype, op->shape});
    io::SafetensorsWriter writer(folder / shard_.file, io::SafetensorsLayout(std::move(infos)),
                                 options_.page_cache ? io::Caching::kCached : io::Caching::kDirect);
    const std::vector<Unit> units = MakeUnits(writer.layout(), hashes);
    std::vector<std::string> digests(units.size());
    std::atomic<bool> stopped = false;
    pool.ForEach(static_cast<int64_t>(units.size()), [&](int64_t u) {
      if (StopRequested()) stopped = true;
      if (stopped) return;
      const Unit& unit = units[u];
      if (unit.prefetch) {
        PrefetchSources(*ops_[unit.tensor]);
      } else if (unit.hash) {
        const Turn turn(processors_);
        digests[u] = Sha256Hex(source_.weights.Bytes(*unit.hash));
      } else {
        RunUnit(unit, writer);
      }
    });
    if (stopped) throw InterruptedError("interrupted; finished shards stay", folder.string());
    writer.Finish();
    return Report(units, digests);
  }

 private:
  struct TensorState {
    std::atomic<int64_t> microseconds = 0, pending = 0;
  };

  int64_t BlockBytes() const {
    if (options_.block_bytes > 0) return options_.block_bytes;
    const int64_t share = options_.max_ram / (4 * std::max(1, options_.threads));
    return std::clamp<int64_t>(share, 64 << 10, 4 << 20);
  }

  // Blocks in the order of the file, so that the disk sees one stream.
  std::vector<Unit> MakeUnits(const io::SafetensorsLayout& layout,
                              const std::vector<const io::TensorInfo*>& hashes) {
    std::vector<size_t> order(ops_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return layout.Find(ops_[a]->name)->begin < layout.Find(ops_[b]->name)->begin;
    });
    std::vector<Unit> units;
    for (size_t place = 0; place < order.size(); ++place) {
      const size_t i = order[place];
      const TensorOp& op = *ops_[i];
      if (place == 0) units.push_back({.tensor = i, .prefetch = true});
      if (place + 1 < order.size()) units.push_back({.tensor = order[place + 1], .prefetch = true});
      const int64_t total = op.block_units();
      if (op.elements() == 0) continue;
      const int64_t unit_bytes = op.unit_elements() * io::ByteSize(op.dtype);
      if (unit_bytes > options_.max_ram) {
        throw ResourceError("--max-ram " + std::to_string(options_.max_ram) +
                                " is less than one row of " + std::to_string(unit_bytes) + " bytes",
                            "tensor " + op.name);
      }
      const int64_t step = std::max<int64_t>(1, BlockBytes() / unit_bytes);
      for (int64_t at = 0; at < total; at += step) {
        units.push_back({i, at, std::min(total, at + step)});
        ++state_[i].pending;
      }
    }
    for (const io::TensorInfo* info : hashes) units.push_back({0, 0, 0, info});
    return units;
  }

  void RunUnit(const Unit& unit, io::SafetensorsWriter& writer) {
    const Clock::time_point start = Clock::now();
    const TensorOp& op = *ops_[unit.tensor];
    const int64_t unit_bytes = op.unit_elements() * io::ByteSize(op.dtype);
    const io::TensorInfo& target = *writer.layout().Find(op.name);
    const uint64_t offset = static_cast<uint64_t>(unit.begin * unit_bytes);
    const size_t size = static_cast<size_t>((unit.end - unit.begin) * unit_bytes);
    thread_local io::WriteBuffer buffer;
    const std::span<std::byte> room = buffer.For(target.begin + offset, size);
    std::span<const std::byte> bytes = room;
    {
      const Turn turn(processors_);
      if (writer.direct()) {
        runners_[unit.tensor]->Run(unit.begin, unit.end, room);
      } else {
        bytes = runners_[unit.tensor]->Block(unit.begin, unit.end, room);
      }
    }
    writer.Write(target, offset, bytes);
    state_[unit.tensor].microseconds += static_cast<int64_t>(1e6 * SecondsSince(start));
    if (--state_[unit.tensor].pending == 0) ReleaseSources(op);
    if (options_.on_progress) options_.on_progress(static_cast<int64_t>(size));
  }

  void PrefetchSources(const TensorOp& op) const {
    for (const std::string& name : op.sources) {
      const io::TensorInfo* info = source_.weights.Find(name);
      source_.weights.Prefetch(*info, 0, info->end - info->begin);
    }
  }

  void ReleaseSources(const TensorOp& op) const {
    for (const std::string& name : op.sources) {
      const io::TensorInfo* info = source_.weights.Find(name);
      source_.weights.Release(*info, 0, info->end - info->begin);
    }
  }

  std::string Report(const std::vector<Unit>& units,
                     const std::vector<std::string>& digests) const {
    std::string text;
    for (size_t i = 0; i < ops_.size(); ++i) {
      const TensorOp& op = *ops_[i];
      Json line = {{"tensor", op.name},
                   {"bytes", op.elements() * io::ByteSize(op.dtype)},
                   {"ms", static_cast<double>(state_[i].microseconds.load()) / 1000},
                   {"policy", op.policy},
                   {"class", Name(op.exactness)},
                   {"sources", op.sources}};
      if (runners_[i]->largest_rounding() > 0)
        line["largest_rounding"] = runners_[i]->largest_rounding();
      text += line.dump() + "\n";
    }
    for (size_t u = 0; u < units.size(); ++u) {
      if (units[u].hash)
        text += Json({{"source", units[u].hash->name}, {"sha256", digests[u]}}).dump() + "\n";
    }
    return text;
  }

  const SourceModel& source_;
  const Shard& shard_;
  const ExpandOptions& options_;
  std::vector<std::unique_ptr<TensorRunner>> runners_;
  std::vector<const TensorOp*> ops_;
  std::unique_ptr<TensorState[]> state_;
  Processors processors_;
};

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

// The source must outlive the work, and its folder is read to the end: nothing may be written into
// it or take its place.
void CheckApart(const SourceModel& source, const fs::path& destination) {
  std::error_code ignored;
  const fs::path from = fs::weakly_canonical(source.directory, ignored);
  for (fs::path at = fs::weakly_canonical(destination, ignored);; at = at.parent_path()) {
    if (!from.empty() && at == from) {
      throw UsageError("the destination is the source, or inside it", destination.string(),
                       "give a folder beside it");
    }
    if (!at.has_relative_path()) return;
  }
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
  const auto hashes = FirstUses(source, plan, shards);
  CheckApart(source, destination);
  JobFolder folder(destination, MakeJob(source, plan, method, options, shards), options);
  RequireFreeBytes(folder.path(), BytesOf(shards, range));
  ExpandReport report;
  ThreadPool pool(kThreadsPerProcessor * std::max(1, options.threads));
  const StopSignals signals;
  try {
    for (size_t k = range.first; k < range.end; ++k) {
      const fs::path done = folder.path() / ReportName(k);
      if (fs::exists(done) && fs::exists(folder.path() / shards[k].file)) {
        ++report.shards_kept;
        continue;
      }
      ShardWriter writer(source, plan, shards[k], options, method.allow_nonfinite);
      const auto& to_hash = options.hash_sources ? hashes[k] : std::vector<const io::TensorInfo*>();
      WriteFileAtomically(done, writer.Write(folder.path(), to_hash, pool));
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
