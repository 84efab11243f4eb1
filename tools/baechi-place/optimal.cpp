// baechi-place optimal: the best placement of a small graph, with a proof.
#include "place/optimal.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "baechi-place/commands.h"
#include "baechi-place/session.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/number_format.h"
#include "place/host_plan.h"
#include "place/place_training.h"
#include "place/placement.h"
#include "place/read_graph.h"
#include "place/report.h"

namespace orchard::baechi_place {
namespace {

struct OptimalCommandOptions {
  std::filesystem::path graph;
  std::optional<std::filesystem::path> output;
  double time_limit = 60;
  bool groups = true;
  place::DeviceOptions devices;
  place::ImportOptions import;
  place::Mode mode = place::Mode::kInfer;
  place::Optimizer optimizer = place::Optimizer::kAdam;
  int64_t allocator_rounding = 512;
  std::vector<std::string> pin;
  place::Offload offload = place::Offload::kOff;
  place::TrainingOptions training;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("graph", graph,
                 "graph (JSON, HDF5, Graphviz) or model (ONNX, TensorFlow GraphDef); of "
                 "TorchScript and .pt2, import makes a graph");
    f("output", output, "placement file to write; without: placement.json in --out",
      cli::Letter('o'));
    f("time_limit", time_limit, "seconds for the proof, after the portfolio", cli::Positive());
    f("groups", groups, "keep the groups that the graph states together");
    f("mode", mode, "what memory holds: one inference, or a training step");
    f("optimizer", optimizer, "whose states a training step holds");
    f("allocator_rounding", allocator_rounding, "every tensor takes a multiple of this many bytes",
      cli::Between(1, 1 << 30));
    f("pin", pin, "operators that must be on a device: name=device");
    f("offload", offload,
      "auto: of one pass, parameters may be in the host's memory; which, and when they are "
      "fetched, "
      "is part of the proof");
    f("step", training.step,
      "given: the graph is all that runs; training: it is the forward pass, and the proof is of "
      "the "
      "whole step");
    f("microbatches", training.microbatches,
      "parts of the batch in a training step, whose passes may run in any order; auto: 1, 2, 4, 8, "
      "16 and 32, each with its part of the time");
    training.CostFields(f);
    f.Section("devices", devices);
    f.Section("import", import);
  }

  place::PlaceOptions Place() const {
    place::PlaceOptions place;
    if (!groups) place.group = place::Grouping::kNone;
    place.mode = mode;
    place.optimizer = optimizer;
    place.allocator_rounding = allocator_rounding;
    place.pin = pin;
    place.offload = offload;
    place.training = training;
    return place;
  }
};

nlohmann::ordered_json CountsToJson(const place::OptimalResult& result) {
  nlohmann::ordered_json counts = nlohmann::ordered_json::array();
  for (const place::OptimalResult::Count& count : result.counts) {
    nlohmann::ordered_json json = {{"microbatches", count.microbatches}};
    if (count.makespan < place::kNever) json["makespan_us"] = place::ToMicroseconds(count.makespan);
    if (count.bound < place::kNever) json["bound_us"] = place::ToMicroseconds(count.bound);
    json["proven"] = count.proven;
    json["explanation"] = count.explanation;
    counts.push_back(json);
  }
  return counts;
}

nlohmann::ordered_json Summary(const place::OptimalResult& result) {
  const place::Time makespan = result.place.best.result.schedule.makespan;
  nlohmann::ordered_json json = {{"makespan_us", place::ToMicroseconds(makespan)},
                                 {"bound_us", place::ToMicroseconds(result.place.bound.value())},
                                 {"gap", GapOf(makespan, result.place.bound.value())},
                                 {"proven", result.proven},
                                 {"found_by", result.place.best.name},
                                 {"placements", result.placements},
                                 {"binaries", result.binaries},
                                 {"explanation", result.explanation},
                                 {"seconds", result.place.seconds}};
  if (const place::HostPlan* host = result.place.best.result.schedule.host.get())
    json["operators_on_host"] = host->size();
  if (result.step) {
    json["step"] = {{"microbatches", result.step->step->options.microbatches},
                    {"tried", CountsToJson(result)}};
  }
  return json;
}

void PrintCounts(const place::OptimalResult& result) {
  if (!result.step) return;
  const place::StepOptions& step = result.step->step->options;
  fmt::print("a training step of {} forward operators, {} micro-batch{}\n",
             result.step->step->forward.size(), step.microbatches,
             step.microbatches == 1 ? "" : "es");
  if (result.counts.size() < 2) return;
  for (const place::OptimalResult::Count& count : result.counts) {
    const bool found = count.makespan < place::kNever;
    fmt::print("  {:>4} micro-batch{} {:>10}, {}\n", count.microbatches,
               count.microbatches == 1 ? "  " : "es",
               found ? FormatDuration(place::ToSeconds(count.makespan)) : "none fits",
               count.explanation);
  }
}

void Print(const place::OptimalResult& result, const place::Cluster& cluster) {
  const place::Time makespan = result.place.best.result.schedule.makespan;
  const place::Time bound = result.place.bound.value();
  PrintCounts(result);
  fmt::print("makespan {} by {} on {}\n", FormatDuration(place::ToSeconds(makespan)),
             result.place.best.name, DescribeCluster(cluster));
  if (const place::HostPlan* host = result.place.best.result.schedule.host.get())
    fmt::print("parameters of {} operators live on the host\n", host->size());
  fmt::print("lower bound {}, gap {:.2f} %\n", FormatDuration(place::ToSeconds(bound)),
             100 * GapOf(makespan, bound));
  fmt::print("{}\n", result.explanation);
}

int RunOptimal(const OptimalCommandOptions& options, const cli::Context& context) {
  const place::Graph graph = place::ReadGraph(options.graph, options.import);
  const place::Cluster cluster = options.devices.Make(graph);
  if (options.output && std::filesystem::exists(*options.output) && !context.common.force &&
      !context.common.dry_run)
    throw UsageError("the file exists", options.output->string(), "--force replaces it");
  InRunDir(context, [&](run::RunDir* directory) -> nlohmann::json {
    const place::OptimalOptions settings{.place = options.Place(),
                                         .time_limit_seconds = options.time_limit};
    const auto seed = static_cast<uint64_t>(context.common.seed);
    const place::OptimalResult result = place::FindOptimal(
        graph, cluster, settings, {.threads = context.common.Threads(), .seed = seed});
    const place::Graph& placed = result.step ? *result.step : graph;
    const std::string text =
        place::PlacementToJson(placed, cluster, settings.place, result.place, seed);
    if (options.output && !context.common.dry_run) WriteFileAtomically(*options.output, text);
    if (directory) {
      const place::Problem problem(
          placed, cluster,
          result.step
              ? place::StepMemory(settings.place)
              : place::MemoryOptions{options.mode, options.optimizer, options.allocator_rounding},
          place::MustShare(placed, settings.place));
      WriteFileAtomically(directory->path() / "placement.json", text);
      directory->WriteReport(place::PlacementReport(
          graph.name.empty() ? options.graph.filename().string() : graph.name, problem,
          result.place.best.result, result.place.bound, result.place.members,
          result.place.best.name + "; " + result.explanation));
    }
    if (context.common.json) {
      fmt::print("{}\n", Summary(result).dump());
    } else {
      Print(result, cluster);
    }
    return nlohmann::json::parse(Summary(result).dump());
  });
  return 0;
}

}  // namespace

void AddOptimal(cli::Program& program) {
  program.Add<OptimalCommandOptions>(
      {.name = "optimal",
       .summary = "finds the best placement of a small graph and proves it, or how close it is",
       .example = "baechi-place optimal data/graphs/two_towers.onnx --dim batch=32 --dim words=64 "
                  "--devices 2"},
      RunOptimal);
}

}  // namespace orchard::baechi_place
