#include "expand/shard_writer.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/signals.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

int64_t MicrosecondsSince(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
}

// One of the threads that may compute now: more are at work than processors, so that some compute
// while others wait for the disk.
class Turn {
 public:
  explicit Turn(Semaphore& processors) : processors_(processors) { processors_.Acquire(); }
  ~Turn() { processors_.Release(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Semaphore& processors_;
};

}  // namespace

ShardWriter::ShardWriter(const SourceModel& source, const Plan& plan, const Shard& shard,
                         const ExpandOptions& options, bool allow_nonfinite,
                         const std::vector<std::unique_ptr<GpuExpander>>& gpus)
    : source_(source),
      shard_(shard),
      options_(options),
      gpus_(gpus),
      processors_(std::max(1, options.threads)) {
  for (size_t t : shard.tensors) {
    const TensorOp& op = plan.tensors[t];
    runners_.push_back(std::make_unique<TensorRunner>(
        source.weights, op, RunnerOptions{options.seed, allow_nonfinite}));
    ops_.push_back(&op);
  }
  state_ = std::make_unique<TensorState[]>(ops_.size());
}

std::string ShardWriter::Write(const fs::path& folder,
                               const std::vector<const io::TensorInfo*>& hashes, ThreadPool& pool) {
  std::vector<io::TensorInfo> infos;
  for (const TensorOp* op : ops_) infos.push_back({op->name, op->dtype, op->shape});
  io::SafetensorsWriter writer(folder / shard_.file, io::SafetensorsLayout(std::move(infos)),
                               options_.page_cache ? io::Caching::kCached : io::Caching::kDirect);
  const std::vector<Unit> units = MakeUnits(writer.layout(), hashes);
  std::vector<std::string> digests(units.size());
  std::vector<std::future<void>> on_gpus;
  for (const auto& gpu : gpus_) {
    on_gpus.push_back(std::async(std::launch::async, [&] { RunOnGpu(*gpu, writer); }));
  }
  RunOnProcessors(units, digests, writer, pool);
  for (std::future<void>& done : on_gpus) done.get();
  if (stopped_) throw InterruptedError("interrupted; finished shards stay", folder.string());
  writer.Finish();
  std::map<const io::TensorInfo*, std::string> digest_of;
  for (size_t u = 0; u < units.size(); ++u) {
    if (units[u].hash) digest_of[units[u].hash] = digests[u];
  }
  return Report(hashes, digest_of);
}

void ShardWriter::RunOnProcessors(const std::vector<Unit>& units, std::vector<std::string>& digests,
                                  io::SafetensorsWriter& writer, ThreadPool& pool) {
  try {
    pool.ForEach(static_cast<int64_t>(units.size()), [&](int64_t u) {
      if (StopRequested()) stopped_ = true;
      if (stopped_) return;
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
  } catch (...) {
    stopped_ = true;  // GPUs too
    throw;
  }
}

int64_t ShardWriter::BlockBytes() const {
  if (options_.block_bytes > 0) return options_.block_bytes;
  const int64_t share = options_.max_ram / (int64_t{4} * std::max(1, options_.threads));
  return std::clamp<int64_t>(share, 64 << 10, 4 << 20);
}

// Blocks in the order of the file, so that the disk sees one stream.
std::vector<ShardWriter::Unit> ShardWriter::MakeUnits(
    const io::SafetensorsLayout& layout, const std::vector<const io::TensorInfo*>& hashes) {
  std::vector<size_t> order(ops_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return layout.Find(ops_[a]->name)->begin < layout.Find(ops_[b]->name)->begin;
  });
  std::vector<Unit> units;
  std::set<const io::TensorInfo*> to_hash(hashes.begin(), hashes.end());
  // While its bytes are at hand, and blocks wait for the disk or a GPU.
  const auto hash_sources = [&](const TensorOp& op) {
    for (const std::string& name : op.sources) {
      const io::TensorInfo* info = source_.weights.Find(name);
      if (to_hash.erase(info) > 0) units.push_back({.hash = info});
    }
  };
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
    if (!gpus_.empty() && GpuExpander::Takes(op) && gpus_[0]->Fits(op)) {
      gpu_ops_.push_back(i);
      hash_sources(op);
      continue;
    }
    const int64_t step = std::max<int64_t>(1, BlockBytes() / unit_bytes);
    for (int64_t at = 0; at < total; at += step) {
      units.push_back({i, at, std::min(total, at + step)});
      ++state_[i].pending;
    }
    hash_sources(op);
  }
  for (const io::TensorInfo* info : to_hash) units.push_back({.hash = info});
  return units;
}

void ShardWriter::RunUnit(const Unit& unit, io::SafetensorsWriter& writer) {
  const Clock::time_point start = Clock::now();
  const TensorOp& op = *ops_[unit.tensor];
  const int64_t unit_bytes = op.unit_elements() * io::ByteSize(op.dtype);
  const io::TensorInfo& target = *writer.layout().Find(op.name);
  const uint64_t offset = static_cast<uint64_t>(unit.begin * unit_bytes);
  const size_t size = static_cast<size_t>((unit.end - unit.begin) * unit_bytes);
  thread_local io::WriteBuffer buffer;
  const std::span<std::byte> room = buffer.For(target.begin + offset, size);
  std::span<const std::byte> bytes = room;
  std::optional<Turn> turn(std::in_place, processors_);
  if (writer.direct()) {
    runners_[unit.tensor]->Run(unit.begin, unit.end, room);
    turn.reset();  // the disk is at work now; what goes into the page cache is a processor's
  } else {
    bytes = runners_[unit.tensor]->Block(unit.begin, unit.end, room);
  }
  writer.Write(target, offset, bytes);
  state_[unit.tensor].microseconds += MicrosecondsSince(start);
  if (--state_[unit.tensor].pending == 0) ReleaseSources(op);
  if (options_.on_progress) options_.on_progress(static_cast<int64_t>(size));
}

// Tensors that no GPU has taken yet, one after the other.
void ShardWriter::RunOnGpu(GpuExpander& gpu, io::SafetensorsWriter& writer) {
  try {
    for (size_t k = next_gpu_op_++; k < gpu_ops_.size(); k = next_gpu_op_++) {
      if (StopRequested()) stopped_ = true;
      if (stopped_) return;
      ExpandOnGpu(gpu_ops_[k], gpu, writer);
    }
  } catch (...) {
    stopped_ = true;  // the processors too
    throw;
  }
}

void ShardWriter::ExpandOnGpu(size_t tensor, GpuExpander& gpu, io::SafetensorsWriter& writer) {
  const Clock::time_point start = Clock::now();
  const TensorOp& op = *ops_[tensor];
  const io::TensorInfo& target = *writer.layout().Find(op.name);
  gpu.Run(*runners_[tensor], op, target.begin,
          [&](int64_t offset, std::span<const std::byte> bytes) {
            writer.Write(target, static_cast<uint64_t>(offset), bytes);
            if (options_.on_progress) options_.on_progress(static_cast<int64_t>(bytes.size()));
          });
  state_[tensor].microseconds += MicrosecondsSince(start);
  ReleaseSources(op);
}

void ShardWriter::PrefetchSources(const TensorOp& op) const {
  for (const std::string& name : op.sources) {
    const io::TensorInfo* info = source_.weights.Find(name);
    source_.weights.Prefetch(*info, 0, info->end - info->begin);
  }
}

void ShardWriter::ReleaseSources(const TensorOp& op) const {
  for (const std::string& name : op.sources) {
    const io::TensorInfo* info = source_.weights.Find(name);
    source_.weights.Release(*info, 0, info->end - info->begin);
  }
}

std::string ShardWriter::Report(
    const std::vector<const io::TensorInfo*>& hashes,
    const std::map<const io::TensorInfo*, std::string>& digest_of) const {
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
  for (const io::TensorInfo* info : hashes) {
    text += Json({{"source", info->name}, {"sha256", digest_of.at(info)}}).dump() + "\n";
  }
  return text;
}

}  // namespace orchard::expand
