// cser-train bench: collectives, exchanges and kernels without a model.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/number_format.h"
#include "comm/launch.h"
#include "cser-train/commands.h"
#include "sync/measure.h"

namespace orchard::cser_train {
namespace {

void Print(const std::vector<sync::MeasuredRow>& rows, bool kernels, int ranks) {
  fmt::print("{:<12} {:>10} {:>10} {:>10} {:>10}\n",
             kernels ? "one rank" : fmt::format("{} ranks", ranks), "size", "ms",
             kernels ? "copies" : "sent", kernels ? "" : "Mb/s");
  for (const sync::MeasuredRow& r : rows) {
    fmt::print(
        "{:<12} {:>10} {:>10.4g} {:>10} {:>10}\n", r.name,
        FormatBytes(static_cast<uint64_t>(r.size)), 1e3 * r.seconds,
        kernels ? fmt::format("{:.2f}", r.copies) : FormatBytes(static_cast<uint64_t>(r.sent)),
        kernels ? "" : fmt::format("{:.4g}", r.bits_per_second / 1e6));
  }
}

}  // namespace

int RunBench(const sync::MeasureOptions& options, const cli::Context& context) {
  comm::RunRanks({options.ranks}, [&](comm::Communicator& ranks) {
    const auto rows = sync::Measure(options, ranks);
    if (ranks.rank() > 0) return;
    if (!context.common.json) {
      Print(rows, options.what == sync::Measured::kKernels, ranks.size());
      return;
    }
    nlohmann::json json = {{"ranks", ranks.size()}, {"rows", nlohmann::json::array()}};
    for (const sync::MeasuredRow& r : rows) {
      json["rows"].push_back({{"name", r.name},
                              {"size", r.size},
                              {"seconds", r.seconds},
                              {"sent", r.sent},
                              {"copies", r.copies},
                              {"bits_per_second", r.bits_per_second}});
    }
    fmt::print("{}\n", json.dump());
  });
  return 0;
}

}  // namespace orchard::cser_train
