#include "expand/throughput.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "base/scratch_directory.h"
#include "base/thread_pool.h"
#include "expand/expand_model.h"
#include "expand/gpu.h"
#include "expand/memory_peak.h"
#include "expand/synthetic_model.h"
#include "io/partial_file.h"
#if ORCHARD_HAVE_CUDA
#include "cuda/expand/expand_rate.h"
#endif

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr SyntheticSizes kSynthetic{
    .hidden = 1024, .ffn = 2816, .heads = 16, .kv_heads = 4, .vocabulary = 16000};
constexpr size_t kPiece = size_t{4} << 20;

double ProcessorSeconds() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Measures `run`, which returns the bytes that it wrote.
FileWork Measure(std::string name, int threads, int64_t bytes_read,
                 const std::function<int64_t()>& run) {
  FileWork work{.name = std::move(name), .threads = threads, .bytes_read = bytes_read};
  MemoryPeak peak;
  const double processor = ProcessorSeconds();
  const Clock::time_point begin = Clock::now();
  work.bytes_written = run();
  work.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  work.processor_seconds = ProcessorSeconds() - processor;
  work.peak_memory = peak.Stop();
  return work;
}

int64_t BytesOf(const io::Checkpoint& checkpoint) {
  int64_t bytes = 0;
  for (const io::TensorInfo& tensor : checkpoint.tensors()) {
    bytes += static_cast<int64_t>(tensor.end - tensor.begin);
  }
  return bytes;
}

// Reads every tensor once, in pieces; what is read is of no use.
void ReadAll(const io::Checkpoint& checkpoint, ThreadPool& pool) {
  const std::vector<io::TensorInfo>& tensors = checkpoint.tensors();
  pool.ForEach(static_cast<int64_t>(tensors.size()), [&](int64_t t) {
    thread_local std::vector<std::byte> room(kPiece);
    const uint64_t size = tensors[t].end - tensors[t].begin;
    for (uint64_t at = 0; at < size; at += kPiece) {
      const size_t count = static_cast<size_t>(std::min<uint64_t>(kPiece, size - at));
      checkpoint.Copy(tensors[t], at, std::span(room).first(count));
    }
  });
}

// Writes `size` bytes to a file and waits until they are on the disk.
void WriteAll(const fs::path& path, int64_t size, io::Caching caching, ThreadPool& pool) {
  io::PartialFile file(path, static_cast<uint64_t>(size), caching);
  const int64_t pieces = (size + static_cast<int64_t>(kPiece) - 1) / static_cast<int64_t>(kPiece);
  pool.ForEach(pieces, [&](int64_t p) {
    thread_local io::WriteBuffer buffer;
    const uint64_t at = static_cast<uint64_t>(p) * kPiece;
    const size_t count =
        static_cast<size_t>(std::min<uint64_t>(kPiece, static_cast<uint64_t>(size) - at));
    const std::span<std::byte> room = buffer.For(at, count);
    std::fill(room.begin(), room.end(), std::byte{0x5A});
    file.WriteAt(at, room);
  });
  file.Finish(true);
}

// The measurements on files: what each grows, and how.
class FileBench {
 public:
  FileBench(const SourceModel& source, const ThroughputOptions& options, uint64_t seed,
            const fs::path& scratch)
      : source_(source), scratch_(scratch), bytes_(BytesOf(source.weights)) {
    run_.max_ram = options.max_ram;
    run_.seed = seed;
    run_.force = true;
  }

  // Reads every byte of the source once and writes `bytes` once: the least that any growing does.
  FileWork PlainCopies(const std::string& name, io::Caching caching, int threads, int64_t bytes) {
    Warm();
    const FileWork work = Measure(name, threads, bytes_, [&] {
      ThreadPool pool(threads);
      ReadAll(source_.weights, pool);
      WriteAll(scratch_ / "copy", bytes, caching, pool);
      return bytes;
    });
    fs::remove(scratch_ / "copy");
    return work;
  }

  FileWork Expansion(const std::string& name, const Plan& plan, const MethodOptions& method,
                     int threads, bool hash) {
    Warm();
    ExpandOptions run = run_;
    run.threads = threads;
    run.hash_sources = hash;
    const FileWork work = Measure(name, threads, bytes_, [&] {
      return ExpandModel(source_, plan, method, scratch_ / "target", run).bytes_written;
    });
    fs::remove_all(scratch_ / "target");
    return work;
  }

 private:
  // The source into the page cache, so that every measurement finds it there.
  void Warm() {
    ThreadPool pool(1);
    ReadAll(source_.weights, pool);
  }

  const SourceModel& source_;
  fs::path scratch_;
  int64_t bytes_;
  ExpandOptions run_;
};

TargetOptions TwiceTheWidth(const arch::Sizes& s) {
  TargetOptions target;
  target.hidden = 2 * s.hidden;
  target.heads = 2 * s.heads;
  target.kv_heads = 2 * s.kv_heads;
  if (s.ffn > 0) target.ffn = 2 * s.ffn;
  return target;
}

// N parameters, T tokens. Forward 2 N T operations, a training step three times as many (backward
// by weights and by activations). Bytes: a pass reads every weight once; AdamW in f32 reads
// parameter, gradient and both moments and writes all but the gradient, 28 bytes a parameter.
std::vector<Bound> Bounds(int64_t source, int64_t target, int64_t tokens,
                          const MachineRates& machine) {
  const auto bound = [&](std::string name, int64_t parameters, int64_t t, double flops_each,
                         double bytes_each, double flops_rate) {
    Bound b{.name = std::move(name), .tokens = t};
    b.flops = flops_each * static_cast<double>(parameters) * static_cast<double>(t);
    b.bytes = bytes_each * static_cast<double>(parameters);
    b.seconds = std::max(b.flops / flops_rate, b.bytes / machine.copy_bytes);
    return b;
  };
  constexpr int64_t kVerifyTokens = 4 * 64;  // its default batch
  return {
      bound("verify in f64, both models", source + target, kVerifyTokens, 2, 8, machine.f64_flops),
      bound("training step in f32, source", source, tokens, 6, 3 * 4 + 28, machine.f32_flops),
      bound("training step in f32, target", target, tokens, 6, 3 * 4 + 28, machine.f32_flops),
      bound("AdamW alone, target", target, 0, 0, 28, machine.f32_flops)};
}

}  // namespace

Throughput MeasureThroughput(const ThroughputOptions& options, int threads, uint64_t seed,
                             const std::function<void(const std::string&)>& step) {
  const ScratchDirectory scratch(options.scratch);
  fs::path model = options.model;
  if (model.empty()) {
    step("writing a synthetic model");
    model = scratch / "source";
    WriteSyntheticModel(model, kSynthetic, options.size, seed);
  }
  const SourceModel source = OpenModel(model, {});
  io::RefuseQuantized(source.weights);
  const MethodOptions grid, equal{.split = Split::kEqual},
      deeper{.method = Method::kStackBert, .allow_lossy = true};
  const TargetOptions wide = TwiceTheWidth(source.sizes);
  const Plan plan = MakePlan(source, wide, grid);

  Throughput result;
  result.model = options.model.empty() ? "synthetic" : options.model.string();
  for (const io::TensorInfo& tensor : source.weights.tensors()) {
    result.source_parameters += tensor.elements();
  }
  result.target_parameters = plan.parameters();
  FileBench bench(source, options, seed, scratch / "");
  const auto add = [&](const std::string& name, const auto& measure) {
    step(name);
    result.work.push_back(measure(name));
  };
  add("plain copies through the page cache", [&](const std::string& name) {
    return bench.PlainCopies(name, io::Caching::kCached, threads, plan.bytes());
  });
  add("plain copies past the page cache", [&](const std::string& name) {
    return bench.PlainCopies(name, io::Caching::kDirect, threads, plan.bytes());
  });
  add("twice the width, with noise and hashes",
      [&](const std::string& name) { return bench.Expansion(name, plan, grid, threads, true); });
  add("twice the width, with noise",
      [&](const std::string& name) { return bench.Expansion(name, plan, grid, 1, false); });
  add("twice the width, equal split", [&](const std::string& name) {
    return bench.Expansion(name, MakePlan(source, wide, equal), equal, 1, false);
  });
  if (source.architecture.no_depth.empty() && source.sizes.layers > 0) {
    TargetOptions deep;
    deep.layers = 2 * source.sizes.layers;
    add("twice the layers: plain copies", [&](const std::string& name) {
      return bench.Expansion(name, MakePlan(source, deep, deeper), deeper, 1, false);
    });
  }
  result.copy_seconds = std::min(result.work[0].seconds, result.work[1].seconds);
  step("memory and arithmetic");
  result.machine = MeasureMachineRates(threads);
  result.bounds =
      Bounds(result.source_parameters, result.target_parameters, options.tokens, result.machine);
#if ORCHARD_HAVE_CUDA
  if (GpuAvailable()) {
    step("device");
    const cuda::ExpandRates rates = cuda::MeasureExpandRates();
    result.device = DeviceRates{rates.device, rates.copy, rates.expand_matrix};
  }
#endif
  return result;
}

}  // namespace orchard::expand
