#include "baechi-place/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/number_format.h"
#include "call_info.h"
#include "run/summary.h"

namespace orchard::baechi_place {

place::PdlpHardware PdlpHardware(const cli::Context& context, const place::PlaceOptions& options) {
  place::PdlpHardware hardware{.threads = context.common.Threads()};
  if (options.lp != place::LpSolver::kPdlp) return hardware;
  const cli::Device device = context.common.ResolvedDevice();
  if (device.IsCuda()) hardware.gpu = device.index;
  return hardware;
}

void InRunDir(const cli::Context& context,
              const std::function<nlohmann::json(run::RunDir* directory)>& work) {
  if (!context.common.out || context.common.dry_run) {
    work(nullptr);
    return;
  }
  run::RunDir directory(*context.common.out, MakeRunInfo(context),
                        run::WhenExisting(context.common.force, context.common.resume));
  directory.Record([&] { return work(&directory); });
}

double GapOf(place::Time makespan, place::Time bound) {
  return bound > 0 ? static_cast<double>(makespan - bound) / static_cast<double>(bound) : 0;
}

std::string ResultKey(const cli::Context& context, const std::string& graphs) {
  constexpr std::string_view kFree[] = {"out",    "threads",    "shard",  "cases", "graph",
                                        "graphs", "experiment", "output", "trace"};
  std::string key = run::VersionLine() + graphs;
  std::istringstream lines(context.config_toml);
  for (std::string line; std::getline(lines, line);) {
    const size_t begin = line.starts_with("# ") ? 2 : 0;  // a key without a value is a comment
    const std::string name = line.substr(begin, line.find(' ', begin) - begin);
    if (std::find(std::begin(kFree), std::end(kFree), name) == std::end(kFree)) key += line + "\n";
  }
  return key;
}

std::string DescribeCluster(const place::Cluster& cluster) {
  const int64_t memory = cluster.devices[0].memory;
  bool equal = true;
  for (const place::Device& device : cluster.devices)
    equal = equal && device.memory == memory && device.speed == cluster.devices[0].speed;
  std::string text = fmt::format("{} {}device{}", cluster.size(), equal ? "" : "different ",
                                 cluster.size() == 1 ? "" : "s");
  if (equal)
    text += memory == INT64_MAX ? " without a memory limit"
                                : " of " + FormatBytes(static_cast<uint64_t>(memory));
  text += fmt::format(", {} links", place::Name(cluster.comm));
  if (cluster.links.empty()) {
    text += fmt::format(" of {} us + {:g} us/MB", FormatShortest(cluster.link.latency_us),
                        cluster.link.us_per_byte * 1e6);
  }
  return text;
}

}  // namespace orchard::baechi_place
