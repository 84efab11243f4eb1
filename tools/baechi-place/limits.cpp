// baechi-place limits: how little memory is enough, and what it costs.
#include "place/limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "baechi-place/commands.h"
#include "baechi-place/session.h"
#include "base/error.h"
#include "base/number_format.h"
#include "place/read_graph.h"
#include "place/report.h"
#include "run/progress.h"

namespace orchard::baechi_place {
namespace {

struct LimitsCommandOptions {
  std::filesystem::path graph;
  int64_t points = 8;
  place::DeviceOptions devices;
  place::ImportOptions import;
  place::PlaceOptions place;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("graph", graph,
                 "graph (JSON, HDF5, Graphviz) or model (ONNX, TensorFlow GraphDef); of "
                 "TorchScript and .pt2, import makes a graph");
    f("points", points, "limits to place at, the smallest and the one that binds no more included",
      cli::Between(2, 1000));
    f.Section("devices", devices);
    f.Section("import", import);
    f.Section("place", place);
  }
};

nlohmann::ordered_json ToJson(const place::LimitSweep& sweep, bool training) {
  nlohmann::ordered_json points = nlohmann::ordered_json::array();
  for (const place::LimitPoint& point : sweep.points) {
    points.push_back({{"limit_bytes", point.limit},
                      {"makespan_us", place::ToMicroseconds(point.makespan)},
                      {"peak_bytes", point.peak},
                      {"method", point.method}});
    if (point.on_host > 0) points.back()["host_bytes"] = point.on_host;
    if (!training) continue;
    points.back()["microbatches"] = point.microbatches;
    points.back()["schedule"] = point.pipeline;
  }
  return {{"least_bytes", sweep.least}, {"smallest_bytes", sweep.smallest}, {"points", points}};
}

void Print(const place::LimitSweep& sweep) {
  fmt::print("smallest equal limit with a placement: {} ({} bytes); below {} none can fit\n",
             FormatBytes(static_cast<uint64_t>(sweep.smallest)), sweep.smallest,
             FormatBytes(static_cast<uint64_t>(sweep.least)));
  const bool host = std::any_of(sweep.points.begin(), sweep.points.end(),
                                [](const place::LimitPoint& point) { return point.on_host > 0; });
  fmt::print("{:>10} {:>10} {:>10}{}  {}\n", "limit", "makespan", "peak",
             host ? fmt::format(" {:>11}", "on the host") : "", "method");
  for (const place::LimitPoint& point : sweep.points) {
    const std::string on_host = FormatBytes(static_cast<uint64_t>(point.on_host));
    fmt::print("{:>10} {:>10} {:>10}{}  {}\n", FormatBytes(static_cast<uint64_t>(point.limit)),
               FormatDuration(place::ToSeconds(point.makespan)),
               FormatBytes(static_cast<uint64_t>(point.peak)),
               host ? fmt::format(" {:>11}", on_host) : "", point.method);
  }
}

int RunLimits(const LimitsCommandOptions& options, const cli::Context& context) {
  if (options.place.compat != place::Compat::kNone)
    throw UsageError("limits is for Orchard's own memory model, without --compat", "limits");
  const place::Graph graph = place::ReadGraph(options.graph, options.import);
  const bool training = options.place.training.step == place::Step::kTraining;
  const place::Cluster cluster = options.devices.Make(graph, options.place.compat);
  InRunDir(context, [&](run::RunDir* directory) -> nlohmann::json {
    place::LimitSweep sweep;
    {
      run::Progress progress("limits", 0, "placements",
                             {.enabled = !context.common.no_progress && !context.common.quiet});
      sweep = place::SweepLimits(graph, cluster, options.place, static_cast<int>(options.points),
                                 {.threads = context.common.Threads(),
                                  .seed = static_cast<uint64_t>(context.common.seed),
                                  .progress = [&](std::string_view note, int64_t) {
                                    progress.Note(std::string(note));
                                    progress.Advance();
                                  }});
    }
    if (directory) {
      const std::string title = graph.name.empty() ? options.graph.filename().string() : graph.name;
      run::Report report = place::LimitReport(title, sweep);
      report.AddFact("Devices", fmt::format("{}, {} links", cluster.size(), Name(cluster.comm)));
      directory->WriteReport(report);
    }
    if (context.common.json) {
      fmt::print("{}\n", ToJson(sweep, training).dump());
    } else {
      Print(sweep);
    }
    return nlohmann::json::parse(ToJson(sweep, training).dump());
  });
  return 0;
}

}  // namespace

void AddLimits(cli::Program& program) {
  program.Add<LimitsCommandOptions>(
      {.name = "limits",
       .summary = "finds the smallest memory that is enough, and what more of it buys",
       .example = "baechi-place limits data/graphs/gnmt_v2.json --devices 4 --out limits"},
      RunLimits);
}

}  // namespace orchard::baechi_place
