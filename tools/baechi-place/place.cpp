// baechi-place place: from a graph and devices to a placement.
#include "place/place.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "baechi-place/commands.h"
#include "baechi-place/session.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/number_format.h"
#include "cli/device.h"
#include "place/assessment.h"
#include "place/explain.h"
#include "place/host_plan.h"
#include "place/offload.h"
#include "place/place_training.h"
#include "place/placement.h"
#include "place/read_graph.h"
#include "place/refine.h"
#include "place/refine_file.h"
#include "place/report.h"
#include "run/progress.h"

namespace orchard::baechi_place {
namespace {

struct PlaceCommandOptions {
  std::filesystem::path graph;
  std::optional<std::filesystem::path> output;
  bool trace = false;
  place::DeviceOptions devices;
  place::ImportOptions import;
  place::PlaceOptions place;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("graph", graph,
                 "graph (JSON, HDF5, Graphviz) or model (ONNX, TensorFlow GraphDef); of "
                 "TorchScript and .pt2, import makes a graph");
    f("output", output, "placement file to write; without: placement.json in --out",
      cli::Letter('o'));
    f("trace", trace, "trace.json in --out: the plan for ui.perfetto.dev");
    f.Section("devices", devices);
    f.Section("import", import);
    f.Section("place", place);
  }
};

// What lives on the host.
struct HostUse {
  int64_t operators = 0, bytes = 0, fetches = 0, fetched_bytes = 0;
};

HostUse OnHost(const place::Problem& problem, const place::Schedule& schedule) {
  HostUse host;
  if (!schedule.host) return host;
  host.bytes = place::BytesOnHost(problem, *schedule.host);
  host.operators = schedule.host->size();
  for (const auto& fetches : schedule.host->fetches) {
    for (const place::Fetch& fetch : fetches) {
      ++host.fetches;
      host.fetched_bytes += problem.graph.ops[fetch.op].perm;
    }
  }
  return host;
}

void PrintOnHost(const place::Member& best, const HostUse& host) {
  const place::Time longer = best.result.schedule.makespan - best.with_memory;
  fmt::print("to fit, {} of {} operators live on the host: {} fetches of {}; ",
             FormatBytes(static_cast<uint64_t>(host.bytes)),
             FormatInteger(static_cast<uint64_t>(host.operators)),
             FormatInteger(static_cast<uint64_t>(host.fetches)),
             FormatBytes(static_cast<uint64_t>(host.fetched_bytes)));
  // The host's updates can be faster than the device's.
  fmt::print("with more memory this placement would take {}, {} {}\n",
             FormatDuration(place::ToSeconds(best.with_memory)),
             FormatDuration(place::ToSeconds(std::abs(longer))), longer >= 0 ? "less" : "more");
}

// What is computed twice.
struct RecomputedWork {
  int64_t operators = 0;
  place::Time work = 0;
};

RecomputedWork WorkAgain(const place::TrainingPlan& plan) {
  RecomputedWork again;
  for (int32_t s = 0; s < plan.step->size(); ++s) {
    if (plan.step->step->ops[s].kind != place::StepKind::kRecompute) continue;
    ++again.operators;
    again.work += place::FromMicroseconds(plan.step->ops[s].us);
  }
  return again;
}

nlohmann::ordered_json StepSummary(const place::PlaceResult& result,
                                   const place::TrainingPlan& plan) {
  nlohmann::ordered_json counts = nlohmann::ordered_json::array();
  for (const auto& [microbatches, pipeline, makespan, fits] : plan.counts) {
    counts.push_back({{"microbatches", microbatches},
                      {"schedule", pipeline},
                      {"makespan_us", place::ToMicroseconds(makespan)},
                      {"fits", fits}});
  }
  const RecomputedWork again = WorkAgain(plan);
  return {{"microbatches", plan.step->step->options.microbatches},
          {"schedule", result.best.pipeline},
          {"cyclic", plan.cyclic},
          {"recomputed_operators", again.operators},
          {"recomputed_us", place::ToMicroseconds(again.work)},
          {"tried", counts}};
}

void PrintStep(const place::TrainingPlan& plan) {
  const place::StepOrigin& step = *plan.step->step;
  fmt::print("a training step of {} forward operators, {} micro-batch{}\n", step.forward.size(),
             step.options.microbatches, step.options.microbatches == 1 ? "" : "es");
  if (plan.cyclic)
    fmt::print("devices send to each other both ways, so 1F1B has no stages: GPipe instead\n");
  if (const RecomputedWork again = WorkAgain(plan); again.operators > 0) {
    fmt::print("to fit, {} operators run again in the backward pass, for {} more of compute\n",
               FormatInteger(again.operators), FormatDuration(place::ToSeconds(again.work)));
  }
  if (plan.counts.size() < 2) return;
  for (const auto& [microbatches, pipeline, makespan, fits] : plan.counts) {
    fmt::print("  {:>4} micro-batch{} {:<6} {:>10}{}\n", microbatches,
               microbatches == 1 ? "  " : "es", pipeline,
               FormatDuration(place::ToSeconds(makespan)), fits ? "" : ", does not fit");
  }
}

nlohmann::ordered_json Summary(const place::PlaceResult& result, const place::Problem& problem,
                               const place::TrainingPlan& plan) {
  const place::Schedule& schedule = result.best.result.schedule;
  nlohmann::ordered_json json = {{"algorithm", result.best.name},
                                 {"makespan_us", place::ToMicroseconds(schedule.makespan)},
                                 {"lower_bound_us", place::ToMicroseconds(result.bound.value())},
                                 {"peak_bytes", result.best.result.memory.peak},
                                 {"seconds", result.seconds},
                                 {"plan_seconds", result.best.plan_seconds},
                                 {"status", result.interrupted ? "interrupted" : "done"}};
  if (result.best.published_makespan >= 0)
    json["published_makespan_us"] = place::ToMicroseconds(result.best.published_makespan);
  if (result.best.lp_objective_us >= 0) {
    json["lp_objective_us"] = result.best.lp_objective_us;
    json["lp_bound_us"] = result.best.lp_bound_us;
  }
  json["devices_used"] = std::count_if(schedule.order.begin(), schedule.order.end(),
                                       [](const auto& order) { return !order.empty(); });
  json["rho"] = result.regime.rho;
  json["operators"] = problem.ops.size();
  if (plan.step) json["step"] = StepSummary(result, plan);
  if (schedule.host) {
    const HostUse host = OnHost(problem, schedule);
    json["offload"] = {{"operators", host.operators},
                       {"host_bytes", host.bytes},
                       {"fetches", host.fetches},
                       {"fetched_bytes", host.fetched_bytes},
                       {"makespan_with_memory_us", place::ToMicroseconds(result.best.with_memory)}};
  }
  return json;
}

void PrintRegime(const place::PlaceResult& result, const place::Problem& problem) {
  const place::MemoryRatio memory =
      place::FindMemoryRatio(result.regime, problem.cluster, problem.sizes.Resident());
  if (result.regime.holds) {
    fmt::print(
        "communication is small (rho {:.3g}): with unlimited memory and links, m-ETF is within "
        "{:.3g} and m-SCT within {:.3g} of the optimum\n",
        result.regime.rho, result.regime.etf_ratio, result.regime.sct_ratio);
    if (memory.holds) {
      fmt::print("within this memory: m-ETF {:.3g}, m-SCT {:.3g}\n", memory.etf_ratio,
                 memory.sct_ratio);
    }
  } else {
    fmt::print(
        "transfers can take longer than operators (rho {:.3g}), so the theory of m-ETF and m-SCT "
        "promises no ratio here; the bound above does not depend on it\n",
        result.regime.rho);
  }
}

std::string AboveBound(place::Time makespan, place::Time bound) {
  if (makespan <= bound) return "the best there can be";
  return fmt::format("{:.1f} % above the lower bound {}", 100 * GapOf(makespan, bound),
                     FormatDuration(place::ToSeconds(bound)));
}

void Print(const place::PlaceResult& result, const place::Problem& problem,
           const place::TrainingPlan& plan) {
  if (plan.step) PrintStep(plan);
  const place::Evaluated& best = result.best.result;
  const place::Time makespan = best.schedule.makespan, bound = result.bound.value();
  fmt::print("{} operators, {} edges on {}\n", problem.ops.size(), problem.ops.edges.size(),
             DescribeCluster(problem.cluster));
  if (const std::string& source =
          problem.graph.step ? problem.graph.step->forward.cost_source : problem.graph.cost_source;
      !source.empty())
    fmt::print("times of operators: {}\n", source);
  fmt::print("{}: makespan {}, {}\n", result.best.name, FormatDuration(place::ToSeconds(makespan)),
             AboveBound(makespan, bound));
  const place::Assessment assessment = place::Assess(problem, best, result.bound, result.members);
  fmt::print("{}\n", assessment.reason);
  if (!assessment.gain.empty()) fmt::print("{}\n", assessment.gain);
  if (result.best.published_makespan >= 0) {
    fmt::print("by the published simulator: {}\n",
               FormatDuration(place::ToSeconds(result.best.published_makespan)));
  }
  if (best.schedule.host) PrintOnHost(result.best, OnHost(problem, best.schedule));
  const std::vector<place::DeviceUse> uses = place::DeviceUses(problem, best.schedule);
  for (int32_t d = 0; d < problem.cluster.size(); ++d) {
    const place::Device& device = problem.cluster.devices[d];
    fmt::print(
        "  {:<12} {:>7} operators, busy {:>5.1f} %, peak {}{}\n", device.name,
        FormatInteger(uses[d].operators),
        makespan > 0 ? 100.0 * static_cast<double>(uses[d].busy) / static_cast<double>(makespan)
                     : 0,
        FormatBytes(static_cast<uint64_t>(best.memory.peak[d])),
        device.memory == INT64_MAX ? ""
                                   : " of " + FormatBytes(static_cast<uint64_t>(device.memory)));
  }
  fmt::print("the chain that fixes the makespan, {}\n",
             place::ChainInWords(place::CriticalChain(problem, best.schedule), makespan));
  PrintRegime(result, problem);
}

// Of each chain of annealing, with one micro-batch and with several.
int64_t RefineSteps(const place::PlaceOptions& options) {
  const bool several = options.training.step == place::Step::kTraining &&
                       options.training.MicrobatchCounts().back() > 1;
  return several ? 2 * options.refine_steps : options.refine_steps;
}

// The GPU that --device names. auto is the CPU: it gives the same result everywhere.
std::optional<int> CudaDevice(const cli::Context& context) {
  if (context.common.device == "auto") return std::nullopt;
  const cli::Device device = context.common.ResolvedDevice();
  return device.IsCuda() ? std::optional(device.index) : std::nullopt;
}

int RunPlace(const PlaceCommandOptions& options, const cli::Context& context) {
  place::Graph graph = place::ReadGraph(options.graph, options.import);
  const bool training = options.place.training.step == place::Step::kTraining;
  place::Cluster cluster = options.devices.Make(graph, options.place.compat);
  const auto seed = static_cast<uint64_t>(context.common.seed);
  std::filesystem::path output;
  if (options.output) {
    output = *options.output;
    const bool replaces = context.common.force || context.common.resume || context.common.dry_run;
    if (std::filesystem::exists(output) && !replaces)
      throw UsageError("the file exists", output.string(), "--force replaces it");
  }
  place::PlaceResult result;
  place::TrainingPlan plan;
  InRunDir(context, [&](run::RunDir* directory) -> nlohmann::json {
    {
      const place::PlaceOptions& how = options.place;
      const bool timed = how.time_limit > 0;
      const int64_t total = how.algo != place::Algorithm::kAuto ? 0
                            : timed ? static_cast<int64_t>(std::ceil(how.time_limit))
                                    : place::kRefineChains * RefineSteps(how);
      run::Progress progress("place", total, timed ? "s" : "steps",
                             {.enabled = !context.common.no_progress && !context.common.quiet});
      place::PlaceOptions settings = how;
      settings.pdlp = PdlpHardware(context, settings);
      int64_t told = 0;
      const auto note = [&](std::string_view text, int64_t done) {
        progress.Note(std::string(text));
        progress.Advance(done - told);
        told = done;
      };
      std::optional<place::RefineFile> file;
      if (directory)
        file.emplace(directory->path() / "refine.json", ResultKey(context, GraphHash(graph)));
      if (file && !context.common.resume) file->Remove();
      const place::SearchContext search{.threads = context.common.Threads(),
                                        .seed = seed,
                                        .progress = note,
                                        .cuda = CudaDevice(context),
                                        .file = file ? &*file : nullptr};
      if (training) {
        plan = place::PlaceTraining(graph, cluster, settings, search);
        result = std::move(plan.result);
        graph = *plan.step;
      } else {
        result = place::Place(graph, cluster, settings, search);
      }
    }
    cluster.whole_microseconds = options.place.compat == place::Compat::kTf;
    const place::Problem problem(
        graph, cluster,
        training ? place::StepMemory(options.place)
                 : place::MemoryOptions{options.place.mode, options.place.optimizer,
                                        options.place.allocator_rounding},
        place::MustShare(graph, options.place));
    const std::string text = place::PlacementToJson(graph, cluster, options.place, result, seed);
    if (!output.empty() && !context.common.dry_run) WriteFileAtomically(output, text);
    if (directory) {
      WriteFileAtomically(directory->path() / "placement.json", text);
      directory->WriteReport(place::PlacementReport(
          graph.name.empty() ? options.graph.filename().string() : graph.name, problem,
          result.best.result, result.bound, result.members, result.best.name));
      if (options.trace) {
        const place::MemoryUse memory = place::ReplayMemory(
            problem.sizes, problem.ops, result.best.result.schedule, cluster.size(), true);
        WriteFileAtomically(directory->path() / "trace.json",
                            place::PlanTrace(problem, result.best.result.schedule, memory));
      }
    }
    if (context.common.json) {
      fmt::print("{}\n", Summary(result, problem, plan).dump());
    } else {
      Print(result, problem, plan);
    }
    if (result.interrupted) {
      throw InterruptedError("interrupted while refining; the best until then is written",
                             output.string(),
                             directory ? "run again with --resume to go on"
                                       : "with --out, --resume can go on from there");
    }
    return nlohmann::json::parse(Summary(result, problem, plan).dump());
  });
  return 0;
}

}  // namespace

void AddPlace(cli::Program& program) {
  program.Add<PlaceCommandOptions>(
      {.name = "place",
       .summary =
           "finds a placement that fits and is fast, and says how far it can be from the best",
       .example =
           "baechi-place place data/graphs/gnmt_v2.json --devices 4 --memory 2GB --out placed"},
      RunPlace);
}

}  // namespace orchard::baechi_place
