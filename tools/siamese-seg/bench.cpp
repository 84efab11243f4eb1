// siamese-seg bench: kernels against LibTorch's operations.
#include "segment/bench.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/number_format.h"
#include "siamese-seg/tensor_commands.h"

namespace orchard::siamese_seg {

int RunBench(const segment::BenchOptions& options, const cli::Context& context) {
  at::set_num_threads(context.common.Threads());
  const auto results = segment::Bench(options, static_cast<uint64_t>(context.common.seed));
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const segment::BenchResult& r : results) {
    json.push_back({{"name", r.name},
                    {"wall_seconds", r.wall_seconds},
                    {"cpu_seconds", r.cpu_seconds},
                    {"extra_bytes", r.extra_bytes}});
    if (context.common.json) continue;
    fmt::print("{:30} {:9.4f} s, {:9.4f} s of processor, {:>10} more memory\n", r.name,
               r.wall_seconds, r.cpu_seconds, FormatBytes(static_cast<uint64_t>(r.extra_bytes)));
  }
  if (context.common.json) {
    fmt::print(
        "{}\n",
        nlohmann::ordered_json{{"threads", context.common.Threads()}, {"results", json}}.dump());
  }
  return 0;
}

}  // namespace orchard::siamese_seg
