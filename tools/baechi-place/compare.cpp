// baechi-place compare: every method on one graph in one table.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "baechi-place/commands.h"
#include "baechi-place/session.h"
#include "base/error.h"
#include "base/number_format.h"
#include "place/place.h"
#include "place/place_training.h"
#include "place/read_graph.h"
#include "place/report.h"
#include "run/report.h"

namespace orchard::baechi_place {
namespace {

struct CompareCommandOptions {
  std::filesystem::path graph;
  place::DeviceOptions devices;
  place::ImportOptions import;
  place::PlaceOptions place;
  std::string shard = "1/1";
  std::filesystem::path cases;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("graph", graph, "graph file");
    f("shard", shard, "only every n-th method and setting, from the i-th on: i/n, with --cases");
    f("cases", cases,
      "folder where results of single settings are kept and found again; without --shard: for the "
      "whole table");
    f.Section("devices", devices);
    f.Section("import", import);
    f.Section("place", place);
  }
};

nlohmann::ordered_json ToJson(const std::vector<place::Member>& members,
                              const place::LowerBound& bound) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const place::Member& member : members) {
    nlohmann::ordered_json json = {{"method", member.name},
                                   {"algorithm", place::Name(member.algorithm)},
                                   {"placed", member.placed}};
    if (member.placed) {
      json["makespan_us"] = place::ToMicroseconds(member.result.schedule.makespan);
      json["fits"] = member.result.feasible();
      json["peak_bytes"] = member.result.memory.peak;
      json["sent_bytes"] = member.sent_bytes;
      if (member.published_makespan >= 0)
        json["published_makespan_us"] = place::ToMicroseconds(member.published_makespan);
    }
    json["seconds"] = member.seconds;
    json["plan_seconds"] = member.plan_seconds;
    list.push_back(json);
  }
  return {{"lower_bound_us", place::ToMicroseconds(bound.value())}, {"methods", list}};
}

void Print(const std::vector<place::Member>& members, const place::LowerBound& bound) {
  fmt::print("{:<36} {:>10} {:>7} {:>10} {:>5} {:>10} {:>9}\n", "method", "makespan", "above",
             "peak", "fits", "sent", "found in");
  for (const place::Member& member : members) {
    if (!member.placed) {
      fmt::print("{:<36} out of memory while planning\n", member.name);
      continue;
    }
    const auto& peak = member.result.memory.peak;
    const auto makespan = static_cast<double>(member.result.schedule.makespan);
    const auto least = static_cast<double>(bound.value());
    fmt::print("{:<36} {:>10} {:>5.1f} % {:>10} {:>5} {:>10} {:>9}\n", member.name,
               FormatDuration(makespan * 1e-9), least > 0 ? 100 * (makespan - least) / least : 0,
               FormatBytes(static_cast<uint64_t>(*std::max_element(peak.begin(), peak.end()))),
               member.result.feasible() ? "yes" : "no",
               FormatBytes(static_cast<uint64_t>(member.sent_bytes)),
               FormatDuration(member.seconds));
  }
  fmt::print("lower bound {}\n", FormatDuration(place::ToSeconds(bound.value())));
}

run::Report MakeReport(const std::string& title, const std::vector<place::Member>& members,
                       const place::LowerBound& bound, const std::string& cluster) {
  run::Report report(title, "baechi-place compare");
  report.AddFact("Devices", cluster);
  report.AddFact("Lower bound", FormatDuration(place::ToSeconds(bound.value())));
  run::Chart chart{.kind = run::Chart::Kind::kBar,
                   .title = "Makespan of each method, the best of its settings",
                   .y = {.title = "makespan", .unit = "ms"}};
  run::Series series{.name = "makespan"};
  for (const place::Member& member : members) {
    if (!member.usable()) continue;
    chart.categories.push_back(member.name);
    series.y.push_back(place::ToMicroseconds(member.result.schedule.makespan) / 1000);
  }
  chart.series.push_back(series);
  place::AddMembers(report, members, bound);
  if (!chart.categories.empty()) report.AddChart(chart);
  return report;
}

// The training step of `forward` with the whole batch at once, which is what methods place.
place::Graph WholeStep(const place::Graph& forward, const place::PlaceOptions& options) {
  const place::TrainingOptions& training = options.training;
  if (training.microbatches != "1" || training.recompute != place::Recompute::kOff ||
      options.compat != place::Compat::kNone) {
    throw UsageError("compare runs training steps of the whole batch", "--step training",
                     "without --microbatches, --recompute and --compat");
  }
  return place::BuildTrainingStep(forward, training.ForStep(options.optimizer, 1));
}

place::KeptMembers OpenCases(const CompareCommandOptions& options, const place::Graph& graph,
                             const cli::Context& context) {
  place::KeptMembers kept{.shard = run::ParseShard(options.shard, "--shard")};
  if (!options.cases.empty()) {
    kept.store = {options.cases, ResultKey(context, GraphHash(graph))};
  } else if (!kept.shard.IsWhole()) {
    throw UsageError("a shard leaves its results for the others", "--cases",
                     "name a folder that all shards share");
  }
  return kept;
}

int RunCompare(const CompareCommandOptions& options, const cli::Context& context) {
  place::Graph graph = place::ReadGraph(options.graph, options.import);
  const place::KeptMembers kept = OpenCases(options, graph, context);
  place::MemoryOptions memory{options.place.mode, options.place.optimizer,
                              options.place.allocator_rounding};
  if (options.place.training.step == place::Step::kTraining) {
    graph = WholeStep(graph, options.place);
    memory = place::StepMemory(options.place);
  }
  place::Cluster cluster = options.devices.Make(graph, options.place.compat);
  cluster.whole_microseconds = options.place.compat == place::Compat::kTf;
  const place::Problem problem(graph, cluster, memory, place::MustShare(graph, options.place),
                               ParsePins(graph, cluster, options.place.pin));
  const place::LowerBound bound =
      place::ComputeLowerBound(problem.ops, cluster, problem.sizes.Resident());
  std::vector<place::Member> members;
  InRunDir(context, [&](run::RunDir* directory) -> nlohmann::json {
    place::PlaceOptions settings = options.place;
    settings.pdlp = PdlpHardware(context, graph, settings);
    members = place::RunAll(
        problem, settings,
        {.threads = Threads(context), .seed = static_cast<uint64_t>(context.common.seed)}, kept);
    if (directory) {
      const std::string title = graph.name.empty() ? options.graph.filename().string() : graph.name;
      directory->WriteReport(MakeReport(title, members, bound, DescribeCluster(cluster)));
    }
    return nlohmann::json::parse(ToJson(members, bound).dump());
  });
  if (context.common.json) {
    fmt::print("{}\n", ToJson(members, bound).dump());
  } else {
    Print(members, bound);
  }
  return 0;
}

}  // namespace

void AddCompare(cli::Program& program) {
  program.Add<CompareCommandOptions>(
      {.name = "compare",
       .summary = "runs every method on one graph and shows time, memory and traffic of each",
       .example = "baechi-place compare data/graphs/gnmt_v2.json --devices 4"},
      RunCompare);
}

}  // namespace orchard::baechi_place
