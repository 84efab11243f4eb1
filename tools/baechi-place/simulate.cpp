// baechi-place simulate: what a placement is worth.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "baechi-place/commands.h"
#include "baechi-place/session.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/number_format.h"
#include "place/explain.h"
#include "place/offload.h"
#include "place/placement.h"
#include "place/read_graph.h"
#include "place/report.h"

namespace orchard::baechi_place {
namespace {

struct SimulateCommandOptions {
  std::filesystem::path graph, placement;
  bool trace = false;
  place::DeviceOptions devices;
  place::ImportOptions import;
  place::Mode mode = place::Mode::kInfer;
  place::Optimizer optimizer = place::Optimizer::kAdam;
  int64_t allocator_rounding = 512;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("graph", graph,
                 "graph (JSON, HDF5, Graphviz) or model (ONNX, TensorFlow GraphDef); of "
                 "TorchScript and .pt2, import makes a graph");
    f.Positional("placement", placement, "placement file");
    f("trace", trace, "trace.json in --out: the plan for ui.perfetto.dev");
    f("mode", mode,
      "what memory holds: one inference, or a training step; a file for a training step says so");
    f("optimizer", optimizer, "whose states a training step holds");
    f("allocator_rounding", allocator_rounding, "every tensor takes a multiple of this many bytes",
      cli::Between(1, 1 << 30));
    f.Section("devices", devices);
    f.Section("import", import);
  }
};

nlohmann::ordered_json ToJson(const place::Problem& problem, const place::Evaluated& result,
                              const place::LowerBound& bound) {
  nlohmann::ordered_json devices = nlohmann::ordered_json::array();
  const std::vector<place::DeviceUse> uses = place::DeviceUses(problem, result.schedule);
  for (int32_t d = 0; d < problem.cluster.size(); ++d) {
    devices.push_back({{"name", problem.cluster.devices[d].name},
                       {"operators", uses[d].operators},
                       {"busy_us", place::ToMicroseconds(uses[d].busy)},
                       {"sent_bytes", uses[d].sent_bytes},
                       {"received_bytes", uses[d].received_bytes},
                       {"fetched_bytes", uses[d].fetched_bytes},
                       {"peak_bytes", result.memory.peak[d]}});
  }
  return {{"makespan_us", place::ToMicroseconds(result.schedule.makespan)},
          {"lower_bound_us", place::ToMicroseconds(bound.value())},
          {"fits", result.feasible()},
          {"transfers", result.schedule.transfers.size()},
          {"devices", devices}};
}

void Print(const place::Problem& problem, const place::Evaluated& result) {
  const place::Time makespan = result.schedule.makespan;
  fmt::print("makespan {} on {}\n", FormatDuration(place::ToSeconds(makespan)),
             DescribeCluster(problem.cluster));
  const std::vector<place::DeviceUse> uses = place::DeviceUses(problem, result.schedule);
  for (int32_t d = 0; d < problem.cluster.size(); ++d) {
    fmt::print("  {:<12} busy {:>9}, idle {:>9}, sends {}, receives {}{}, peak {}\n",
               problem.cluster.devices[d].name, FormatDuration(place::ToSeconds(uses[d].busy)),
               FormatDuration(place::ToSeconds(makespan - uses[d].busy)),
               FormatBytes(static_cast<uint64_t>(uses[d].sent_bytes)),
               FormatBytes(static_cast<uint64_t>(uses[d].received_bytes)),
               result.schedule.host
                   ? ", fetches " + FormatBytes(static_cast<uint64_t>(uses[d].fetched_bytes))
                   : "",
               FormatBytes(static_cast<uint64_t>(result.memory.peak[d])));
  }
  fmt::print("the chain that fixes the makespan, {}\n",
             place::ChainInWords(place::CriticalChain(problem, result.schedule), makespan));
}

int RunSimulate(const SimulateCommandOptions& options, const cli::Context& context) {
  place::Graph graph = place::ReadGraph(options.graph, options.import);
  place::MemoryOptions memory{options.mode, options.optimizer, options.allocator_rounding};
  if (const auto step = place::ReadStepOptions(options.placement, graph)) {
    graph = place::BuildTrainingStep(graph, *step);
    memory.mode = place::Mode::kTrain;
    memory.optimizer = step->optimizer;
  }
  const place::Cluster cluster = options.devices.Make(graph);
  const place::Placement placement = place::ReadPlacement(options.placement, graph, cluster);
  const place::Problem problem(graph, cluster, memory,
                               place::GroupOperators(graph, place::Grouping::kTf));
  const place::Evaluated result = place::ReplayPlacement(problem, placement, options.placement);
  const place::LowerBound bound = result.schedule.host
                                      ? place::BoundWithHost(problem)
                                      : place::ComputeLowerBound(problem.ops, cluster);
  const nlohmann::ordered_json json = ToJson(problem, result, bound);
  InRunDir(context, [&](run::RunDir* directory) -> nlohmann::json {
    if (directory) {
      directory->WriteReport(place::PlacementReport(options.placement.filename().string(), problem,
                                                    result, bound, {}, "from a file"));
      if (options.trace) {
        const place::MemoryUse memory =
            place::ReplayMemory(problem.sizes, problem.ops, result.schedule, cluster.size(), true);
        WriteFileAtomically(directory->path() / "trace.json",
                            place::PlanTrace(problem, result.schedule, memory));
      }
    }
    return nlohmann::json::parse(json.dump());
  });
  if (context.common.json) {
    fmt::print("{}\n", json.dump());
  } else {
    Print(problem, result);
  }
  if (result.feasible()) return 0;
  std::string over;
  for (int32_t d = 0; d < cluster.size(); ++d) {
    if (result.memory.peak[d] <= cluster.devices[d].memory) continue;
    over += fmt::format("{}{} needs {} of {} bytes", over.empty() ? "" : ", ",
                        cluster.devices[d].name, result.memory.peak[d], cluster.devices[d].memory);
  }
  throw ImpossibleError("the placement does not fit: " + over, options.placement.string());
}

}  // namespace

void AddSimulate(cli::Program& program) {
  program.Add<SimulateCommandOptions>(
      {.name = "simulate",
       .summary = "runs a placement in the simulator: time, memory, and what holds it up",
       .example =
           "baechi-place simulate data/graphs/gnmt_v2.json placed/placement.json --devices 4",
       .details = "The example's placement is made by\n"
                  "  baechi-place place data/graphs/gnmt_v2.json --devices 4 --out placed"},
      RunSimulate);
}

}  // namespace orchard::baechi_place
