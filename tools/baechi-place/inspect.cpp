// baechi-place inspect: what a graph holds, before anything is placed.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "baechi-place/commands.h"
#include "baechi-place/session.h"
#include "base/number_format.h"
#include "place/bounds.h"
#include "place/fuse.h"
#include "place/groups.h"
#include "place/levels.h"
#include "place/memory.h"
#include "place/read_graph.h"

namespace orchard::baechi_place {
namespace {

struct InspectCommandOptions {
  std::filesystem::path graph;
  place::DeviceOptions devices;
  place::ImportOptions import;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("graph", graph, "graph file");
    f.Section("devices", devices);
    f.Section("import", import);
  }
};

struct GroupingFacts {
  const char* name;
  int32_t groups, tasks;
};

nlohmann::ordered_json Facts(const place::Graph& graph, const place::Cluster& cluster,
                             std::vector<GroupingFacts>& groupings) {
  using nlohmann::ordered_json;
  const place::TaskGraph tasks =
      place::MakeTasks(graph, place::GroupOperators(graph, place::Grouping::kTf));
  const place::LowerBound bound = place::ComputeLowerBound(tasks, cluster);
  const place::MemorySizes infer(graph, {}), train(graph, {.mode = place::Mode::kTrain});
  int64_t perm = 0, out = 0;
  for (const place::Op& op : graph.ops) {
    perm += op.perm;
    out += std::accumulate(op.out.begin(), op.out.end(), int64_t{0});
  }
  ordered_json json = {{"operators", graph.size()},
                       {"edges", graph.edges.size()},
                       {"tensors", graph.tensors.size()},
                       {"work_us", place::ToMicroseconds(tasks.TotalWork())},
                       {"critical_path_us", place::ToMicroseconds(bound.critical_path)},
                       {"lower_bound_us", place::ToMicroseconds(bound.value())},
                       {"parameter_bytes", perm},
                       {"output_bytes", out},
                       {"most_bytes_infer", infer.Everything()},
                       {"most_bytes_train_adam", train.Everything()},
                       {"rho", place::FindSctRegime(tasks, cluster).rho}};
  ordered_json list = ordered_json::array();
  for (const auto& [name, grouping] : place::kGroupingNames) {
    const place::TaskGraph grouped = place::MakeTasks(
        graph, place::GroupOperators(graph, grouping, cluster, DefaultGroupCap(graph, cluster)));
    groupings.push_back({name, grouped.groups, place::Fuse(grouped).size()});
    list.push_back({{"group", name},
                    {"groups", groupings.back().groups},
                    {"fused_tasks", groupings.back().tasks}});
  }
  json["groupings"] = list;
  return json;
}

std::string Microseconds(const nlohmann::ordered_json& us) {
  return FormatDuration(us.get<double>() * 1e-6);
}
std::string Bytes(const nlohmann::ordered_json& bytes) {
  return FormatBytes(bytes.get<uint64_t>());
}

int RunInspect(const InspectCommandOptions& options, const cli::Context& context) {
  const place::Graph graph = place::ReadGraph(options.graph, options.import);
  const place::Cluster cluster = options.devices.Make(graph);
  place::CheckDevices(graph, cluster);
  std::vector<GroupingFacts> groupings;
  const nlohmann::ordered_json json = Facts(graph, cluster, groupings);
  if (context.common.json) {
    fmt::print("{}\n", json.dump());
    return 0;
  }
  if (!graph.name.empty()) fmt::print("{}\n", graph.name);
  fmt::print("{} operators, {} edges, {} tensors\n", FormatInteger(graph.size()),
             FormatInteger(static_cast<int64_t>(graph.edges.size())),
             FormatInteger(static_cast<int64_t>(graph.tensors.size())));
  fmt::print(
      "compute {}, longest chain {}: at most {:.2f} times faster on any number of devices\n",
      Microseconds(json["work_us"]), Microseconds(json["critical_path_us"]),
      json["work_us"].get<double>() / std::max(1e-9, json["critical_path_us"].get<double>()));
  fmt::print("parameters {}, outputs {}; all at once {} (training with Adam {})\n",
             Bytes(json["parameter_bytes"]), Bytes(json["output_bytes"]),
             Bytes(json["most_bytes_infer"]), Bytes(json["most_bytes_train_adam"]));
  fmt::print(
      "on {}: no placement under {}, largest communication over smallest computation {:.3g}\n",
      DescribeCluster(cluster), Microseconds(json["lower_bound_us"]), json["rho"].get<double>());
  for (const GroupingFacts& facts : groupings)
    fmt::print("  --group {:<15} {:>8} groups, {:>8} tasks after fusion\n", facts.name,
               FormatInteger(facts.groups), FormatInteger(facts.tasks));
  return 0;
}

}  // namespace

void AddInspect(cli::Program& program) {
  program.Add<InspectCommandOptions>(
      {.name = "inspect",
       .summary = "shows what a graph computes, holds and sends, and how it can be grouped",
       .example = "baechi-place inspect data/graphs/gnmt_v2.json --devices 4"},
      RunInspect);
}

}  // namespace orchard::baechi_place
