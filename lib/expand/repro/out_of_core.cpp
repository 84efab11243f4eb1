// R6: a LLaMA-shaped bf16 checkpoint several times the bound on memory is grown to twice its width;
// memory stays within the bound, and the result does not depend on bound, threads or parts.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/number_format.h"
#include "base/scratch_directory.h"
#include "expand/expand_model.h"
#include "expand/memory_peak.h"
#include "expand/plan.h"
#include "expand/repro/experiments.h"
#include "expand/synthetic_model.h"
#include "io/mapped_file.h"

namespace orchard::expand::repro {
namespace {

namespace fs = std::filesystem;
constexpr SyntheticSizes kSizes;

bool SameBytes(const fs::path& a, const fs::path& b) {
  const io::MappedFile first(a), second(b);
  const auto x = first.bytes(), y = second.bytes();
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size()) == 0;
}

// Tensor files of `a` that are not the same in `b`.
int64_t DifferentFiles(const fs::path& a, const fs::path& b) {
  int64_t different = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(a)) {
    if (entry.path().extension() != ".safetensors") continue;
    const fs::path other = b / entry.path().filename();
    different += fs::exists(other) && SameBytes(entry.path(), other) ? 0 : 1;
  }
  return different;
}

struct Written {
  int64_t bytes = 0, peak = 0;
  double seconds = 0;
};

Written Grow(const fs::path& source, const fs::path& destination, ExpandOptions options,
             int64_t parts) {
  Written written;
  const SourceModel model = OpenModel(source, {});
  const MethodOptions method{.norm_dtype = Widened::kKeep};
  const Plan plan = MakePlan(model,
                             {.hidden = 2 * kSizes.hidden,
                              .heads = 2 * kSizes.heads,
                              .kv_heads = 2 * kSizes.kv_heads,
                              .ffn = 2 * kSizes.ffn},
                             method);
  const auto begin = std::chrono::steady_clock::now();
  MemoryPeak peak;
  for (int64_t part = 1; part <= parts; ++part) {
    options.part = part;
    options.parts = parts;
    written.bytes += ExpandModel(model, plan, method, destination, options).bytes_written;
  }
  if (parts > 1) Finalize(destination, false);
  written.peak = peak.Stop();
  written.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return written;
}

run::Cell BytesCell(int64_t bytes) {
  return run::Cell::Shown(FormatBytes(bytes), static_cast<double>(bytes));
}

}  // namespace

ExperimentResult OutOfCore(const ReproOptions& options, const Surroundings& surroundings) {
  const auto step = [&](const char* what) {
    if (surroundings.step) surroundings.step(what);
  };
  const ScratchDirectory scratch(options.scratch);
  const int64_t cap =
      options.quick ? std::min<int64_t>(options.max_ram, 16'000'000) : options.max_ram;
  const int64_t size = options.checkpoint_size > 0 ? options.checkpoint_size : 4 * cap;
  step("source");
  const int64_t source_bytes =
      WriteSyntheticModel(scratch / "source", kSizes, size, surroundings.seed);
  const ExpandOptions whole{.shard_size = std::max<int64_t>(size, 32'000'000),
                            .max_ram = cap,
                            .threads = surroundings.threads,
                            .seed = surroundings.seed};
  step("whole");
  const Written once = Grow(scratch / "source", scratch / "whole", whole, 1);
  ExpandOptions divided = whole;
  divided.max_ram = std::max<int64_t>(cap / 4, 1 << 22);
  divided.threads = 1;
  step("in three parts");
  const Written parts = Grow(scratch / "source", scratch / "parts", divided, 3);

  ExperimentResult result;
  result.claim =
      "A checkpoint of any size is grown within the bound on memory, and the bytes do "
      "not depend on the bound, the threads or the parts.";
  const auto ratio = [](int64_t a, int64_t b) {
    return Single(static_cast<double>(a) / static_cast<double>(b));
  };
  result.measurements = {
      {"source over the bound on memory", "", ratio(source_bytes, cap),
       Expectation{Relation::kAtLeast, 3}},
      {"peak memory over its bound", "", ratio(once.peak, cap), Expectation{Relation::kAtMost, 1}},
      {"peak memory over its bound, in parts", "", ratio(parts.peak, divided.max_ram),
       Expectation{Relation::kAtMost, 1}},
      {"shards that differ between the two", "",
       Single(static_cast<double>(DifferentFiles(scratch / "whole", scratch / "parts"))),
       Expectation{Relation::kAtMost, 0}}};
  const auto row = [&](const char* name, const Written& w, const ExpandOptions& o) {
    return std::vector<run::Cell>{
        name,
        BytesCell(source_bytes),
        BytesCell(w.bytes),
        BytesCell(o.max_ram),
        BytesCell(w.peak),
        o.threads,
        w.seconds,
        run::Cell::Shown(
            FormatBytes(static_cast<uint64_t>(static_cast<double>(w.bytes) / w.seconds)) + "/s",
            static_cast<double>(w.bytes) / w.seconds)};
  };
  result.tables.push_back(
      {.caption = "Two expansions of one source",
       .columns = {"Run", "Source", "Target", "Bound", "Peak", "Threads", "Time (s)", "Rate"},
       .rows = {row("whole", once, whole), row("three parts", parts, divided)}});
  result.notes.push_back(
      "Memory is the process's anonymous memory (RssAnon) above what it had "
      "before; mapped pages of the source do not count.");
  return result;
}

}  // namespace orchard::expand::repro
