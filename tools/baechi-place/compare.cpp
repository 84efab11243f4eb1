// baechi-place compare: every method on one graph in one table.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "baechi-place/commands.h"
#include "baechi-place/session.h"
#include "base/error.h"
#include "base/number_format.h"
#include "place/offload.h"
#include "place/pipelined_members.h"
#include "place/place.h"
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
    f.Positional("graph", graph,
                 "graph (JSON, HDF5, Graphviz) or model (ONNX, TensorFlow GraphDef); of "
                 "TorchScript and .pt2, import makes a graph");
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
                              const place::LowerBound& bound, bool training) {
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
      if (member.with_memory >= 0)
        json["makespan_with_memory_us"] = place::ToMicroseconds(member.with_memory);
      if (member.recomputing) json["recomputing"] = true;
      if (training && member.microbatches > 0) {
        json["microbatches"] = member.microbatches;
        json["schedule"] = member.pipeline;
      }
    }
    json["seconds"] = member.seconds;
    json["plan_seconds"] = member.plan_seconds;
    list.push_back(json);
  }
  return {{"lower_bound_us", place::ToMicroseconds(bound.value())}, {"methods", list}};
}

void Print(const std::vector<place::Member>& members, const place::LowerBound& bound) {
  size_t width = 36;
  for (const place::Member& member : members) width = std::max(width, member.name.size());
  fmt::print("{:<{}} {:>10} {:>7} {:>10} {:>5} {:>10} {:>9}\n", "method", width, "makespan",
             "above", "peak", "fits", "sent", "found in");
  for (const place::Member& member : members) {
    if (!member.placed) {
      fmt::print("{:<{}} out of memory while planning\n", member.name, width);
      continue;
    }
    const auto& peak = member.result.memory.peak;
    const auto makespan = static_cast<double>(member.result.schedule.makespan);
    const auto least = static_cast<double>(bound.value());
    fmt::print("{:<{}} {:>10} {:>5.1f} % {:>10} {:>5} {:>10} {:>9}\n", member.name, width,
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
  std::string left_out;
  for (const place::Member& member : members) {
    if (!member.usable()) {
      left_out += fmt::format("{}{}", left_out.empty() ? "" : ", ", place::Name(member.algorithm));
      continue;
    }
    chart.categories.emplace_back(place::Name(member.algorithm));
    series.y.push_back(place::ToMicroseconds(member.result.schedule.makespan) / 1000);
  }
  if (!left_out.empty()) chart.caption = "Left out, because they do not fit: " + left_out + ".";
  chart.series.push_back(series);
  place::AddMembers(report, members, bound);
  if (!chart.categories.empty()) report.AddChart(chart);
  return report;
}

void CheckStep(const place::PlaceOptions& options) {
  if (options.compat == place::Compat::kNone) return;
  throw UsageError("the published programs know no training step", "--step training",
                   "--compat is for --step given");
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

place::Comparison Compare(const CompareCommandOptions& options, const place::Graph& graph,
                          const place::Cluster& cluster, const cli::Context& context) {
  const place::KeptMembers kept = OpenCases(options, graph, context);
  place::PlaceOptions settings = options.place;
  settings.pdlp = PdlpHardware(context, settings);
  place::CheckOffload(settings);
  const place::SearchContext search{.threads = context.common.Threads(),
                                    .seed = static_cast<uint64_t>(context.common.seed)};
  if (settings.training.step == place::Step::kTraining) {
    CheckStep(settings);
    return place::CompareSteps(graph, cluster, settings, search, kept);
  }
  const place::MemoryOptions memory{settings.mode, settings.optimizer, settings.allocator_rounding};
  const place::Problem problem(graph, cluster, memory, place::MustShare(graph, settings),
                               place::ParsePins(graph, cluster, settings.pin));
  place::FinishMember finish;
  if (settings.offload == place::Offload::kAuto) {
    finish = [&](place::Member member) {
      if (!member.placed || member.usable()) return member;
      const bool fast = member.algorithm == place::Algorithm::kRandom;  // a mean of twenty
      std::optional<place::Member> fitted = place::Offloaded(problem, member, fast);
      return fitted ? std::move(*fitted) : member;
    };
  }
  return {place::RunAll(problem, settings, search, kept, finish),
          place::BoundFor(problem, settings.offload)};
}

int RunCompare(const CompareCommandOptions& options, const cli::Context& context) {
  const place::Graph graph = place::ReadGraph(options.graph, options.import);
  const bool training = options.place.training.step == place::Step::kTraining;
  place::Cluster cluster = options.devices.Make(graph, options.place.compat);
  cluster.whole_microseconds = options.place.compat == place::Compat::kTf;
  place::Comparison found;
  InRunDir(context, [&](run::RunDir* directory) -> nlohmann::json {
    found = Compare(options, graph, cluster, context);
    if (directory) {
      const std::string title = graph.name.empty() ? options.graph.filename().string() : graph.name;
      directory->WriteReport(
          MakeReport(title, found.members, found.bound, DescribeCluster(cluster)));
    }
    return nlohmann::json::parse(ToJson(found.members, found.bound, training).dump());
  });
  if (context.common.json) {
    fmt::print("{}\n", ToJson(found.members, found.bound, training).dump());
  } else {
    Print(found.members, found.bound);
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
