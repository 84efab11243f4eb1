// baechi-place run: executes a placed model.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "baechi-place/read_model.h"
#include "baechi-place/run_report.h"
#include "baechi-place/session.h"
#include "baechi-place/tensor_commands.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/number_format.h"
#include "base/signals.h"
#include "execute/profile.h"
#include "execute/run_model.h"
#include "execute/run_trace.h"
#include "io/torch/tensors.h"
#include "place/place.h"
#include "place/place_training.h"
#include "place/placement.h"
#include "place/read_graph.h"
#include "run/progress.h"

namespace orchard::baechi_place {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kGoodPrediction = 0.1;  // relative error at which --recalibrate is content

// One round of --recalibrate.
struct Round {
  double predicted_us, measured_us, error;
};

struct Session {
  const RunCommandOptions& options;
  const cli::Context& context;
  const execute::Program& program;
  place::Graph graph;
  place::Cluster cluster;
  execute::Layout layout;
  std::vector<Round> rounds;
  std::string placement_text;  // of the last round, when it placed again
};

execute::RunResult RunOnce(Session& s) {
  run::Progress progress("run", s.options.run.warmup + s.options.run.steps, "steps",
                         {.enabled = !s.context.common.no_progress && !s.context.common.quiet});
  return execute::RunPlaced(
      {s.program, s.graph, s.cluster,
       IsTorchScript(s.options.model) ? s.options.model : std::filesystem::path()},
      s.layout, s.options.run, [&](const std::string& note) {
        progress.Note(note);
        progress.Advance();
      });
}

// Places the whole training step, where one is run.
void PlaceAgain(Session& s) {
  place::PlaceOptions how;
  how.optimizer = place::Optimizer::kSgd;
  const auto seed = static_cast<uint64_t>(s.context.common.seed);
  if (s.options.run.train == execute::Training::kNone) {
    if (s.layout.host) how.offload = place::Offload::kAuto;
    const place::PlaceResult placed = place::Place(
        s.graph, s.cluster, how, {.threads = s.context.common.Threads(), .seed = seed});
    s.placement_text = place::PlacementToJson(s.graph, s.cluster, how, placed, seed);
    const place::Schedule& schedule = placed.best.result.schedule;
    s.layout = {schedule.device, schedule.order, schedule.host};
    return;
  }
  how.training.step = place::Step::kTraining;
  const place::TrainingPlan plan = place::PlaceTraining(
      s.graph, s.cluster, how, {.threads = s.context.common.Threads(), .seed = seed});
  s.placement_text = place::PlacementToJson(*plan.step, s.cluster, how, plan.result, seed);
  const place::Schedule& schedule = plan.result.best.result.schedule;
  const place::StepOrigin& step = *plan.step->step;
  s.layout = {place::LowerToForward(step, schedule.device), {}};
  s.layout.order.resize(s.cluster.devices.size());
  for (size_t d = 0; d < schedule.order.size(); ++d) {
    for (int32_t i : schedule.order[d]) {
      if (step.ops[i].kind == place::StepKind::kForward)
        s.layout.order[d].push_back(step.ops[i].forward);
    }
  }
}

// Runs, and with --recalibrate takes the measured times and places again until the prediction is
// good.
execute::RunResult RunUntilPredicted(Session& s) {
  execute::RunResult result = RunOnce(s);
  const auto note = [&] {
    s.rounds.push_back({result.prediction.us(), result.measured_us, result.error()});
  };
  if (result.step_us.empty()) return result;
  note();
  if (!s.options.run.recalibrate) return result;
  while (result.error() > kGoodPrediction && !StopRequested() &&
         static_cast<int64_t>(s.rounds.size()) <= s.options.run.recalibrate_rounds) {
    s.graph = execute::WithMeasuredTimes(s.graph, result);
    PlaceAgain(s);
    result = RunOnce(s);
    if (result.step_us.empty()) break;
    note();
  }
  return result;
}

Json DifferenceJson(const std::optional<execute::Difference>& difference) {
  if (!difference) return nullptr;
  return {{"same_bits", difference->same_bits},
          {"outputs", difference->outputs},
          {"gradients", difference->gradients}};
}

Json Summary(const Session& s, const execute::RunResult& result) {
  Json devices = Json::array();
  for (size_t d = 0; d < result.peak_bytes.size(); ++d) {
    Json device = {{"name", s.cluster.devices[d].name},
                   {"operators", result.layout.order[d].size()},
                   {"peak_bytes", result.peak_bytes[d]}};
    if (s.cluster.devices[d].memory < INT64_MAX) device["memory"] = s.cluster.devices[d].memory;
    devices.push_back(device);
  }
  Json rounds = Json::array();
  for (const Round& round : s.rounds) {
    rounds.push_back({{"predicted_us", round.predicted_us},
                      {"measured_us", round.measured_us},
                      {"error", round.error}});
  }
  return {{"measured_us", result.measured_us},
          {"predicted_us", result.prediction.us()},
          {"prediction_error", result.error()},
          {"single_device_us", result.single_device_us},
          {"speedup", result.speedup()},
          {"steps", result.step_us.size()},
          {"passed", result.passed},
          {"one_device", DifferenceJson(result.check)},
          {"unsplit", DifferenceJson(result.unsplit)},
          {"transfers", result.median_step.transfers.size()},
          {"fetches", result.median_step.fetches.size()},
          {"devices", devices},
          {"rounds", rounds}};
}

std::string InWords(const execute::Difference& difference, bool train) {
  std::string text =
      difference.same_bits ? "same bits" : fmt::format("outputs within {:.1e}", difference.outputs);
  if (train && !difference.same_bits)
    text += fmt::format(", gradients within {:.1e}", difference.gradients);
  return text;
}

void Print(const Session& s, const execute::RunResult& result) {
  const bool train = s.options.run.train != execute::Training::kNone;
  fmt::print("{} of {} operators on {}\n", train ? "training steps" : "forward passes",
             s.program.size(), DescribeCluster(s.cluster));
  for (size_t d = 0; d < result.peak_bytes.size(); ++d) {
    const place::Device& device = s.cluster.devices[d];
    fmt::print("  {:<12} {:>5} operators, peak {}{}\n", device.name, result.layout.order[d].size(),
               FormatBytes(static_cast<uint64_t>(result.peak_bytes[d])),
               device.memory == INT64_MAX
                   ? ""
                   : " of " + FormatBytes(static_cast<uint64_t>(device.memory)));
  }
  if (const auto& fetches = result.median_step.fetches; !fetches.empty()) {
    int64_t bytes = 0;
    for (const execute::FetchSpan& fetch : fetches) bytes += fetch.bytes;
    fmt::print("  parameters fetched from the host {} times, {}\n", fetches.size(),
               FormatBytes(static_cast<uint64_t>(bytes)));
  }
  if (result.check) fmt::print("against one device: {}\n", InWords(*result.check, train));
  if (result.unsplit) fmt::print("against the model as one: {}\n", InWords(*result.unsplit, train));
  for (size_t k = 0; k + 1 < s.rounds.size(); ++k) {
    fmt::print("round {}: measured {}, predicted {} ({:.0f} % off)\n", k + 1,
               FormatDuration(s.rounds[k].measured_us * 1e-6),
               FormatDuration(s.rounds[k].predicted_us * 1e-6), 100 * s.rounds[k].error);
  }
  fmt::print("measured {} a step (median of {}), predicted {} ({:.0f} % off)\n",
             FormatDuration(result.measured_us * 1e-6), result.step_us.size(),
             FormatDuration(result.prediction.us() * 1e-6), 100 * result.error());
  if (result.single_device_us > 0) {
    fmt::print("one device {}: speed-up {:.2f}\n", FormatDuration(result.single_device_us * 1e-6),
               result.speedup());
  }
}

void WriteFiles(const Session& s, const execute::RunResult& result, run::RunDir& directory) {
  for (size_t k = 0; k < result.step_us.size(); ++k) {
    directory.metrics().Write(static_cast<int64_t>(k), {{"step_us", result.step_us[k]}});
  }
  if (!s.placement_text.empty()) {
    WriteFileAtomically(directory.path() / "placement.json", s.placement_text);
    WriteFileAtomically(directory.path() / "graph.json", place::GraphToJson(s.graph));
  }
  if (s.options.trace) {
    WriteFileAtomically(directory.path() / "trace.json",
                        execute::RunTrace(s.program, execute::DevicesOf(s.cluster), result.layout,
                                          result.prediction, result.median_step));
  }
  directory.WriteReport(RunReport(s.program, s.cluster, result));
}

void SaveResults(const std::filesystem::path& path, const execute::Program& program,
                 const execute::RunResult& result) {
  std::map<std::string, at::Tensor> tensors;
  const auto add = [&](const char* name, const std::vector<at::Tensor>& values) {
    for (size_t k = 0; k < values.size(); ++k) tensors[fmt::format("{}{}", name, k)] = values[k];
  };
  add("input", program.example_inputs);
  add("output", result.outputs);
  for (size_t p = 0; p < result.gradients.size(); ++p) {
    if (result.gradients[p].defined())
      tensors["gradient." + program.parameters[p].name] = result.gradients[p];
  }
  io::SaveTensors(path, tensors);
}

place::Graph GraphOf(const RunCommandOptions& options, const execute::Program& program,
                     const cli::Context& context) {
  if (options.graph) return place::ReadGraph(*options.graph);
  const bool cuda = context.common.device.starts_with("cuda");
  return execute::MakeGraph(
      program,
      execute::Profile(
          program, execute::ParseDevice(cuda ? context.common.device : "cpu:0"),
          {.rounds = 20, .warmup = 5, .backward = options.run.train != execute::Training::kNone}));
}

// LibTorch must know of CUDA before the first tensor, and so before the model is read.
void LoadBackend(const place::DeviceOptions& options) {
  if (options.devices == "auto" ||
      options.devices.find_first_not_of("0123456789") == std::string::npos)
    return;
  execute::DevicesOf(place::ReadCluster(options.devices, {}, place::Comm::kParallel));
}

// Parameters on the host are fetched in forward passes on CPU devices alone.
void CheckHost(const place::Placement& placement, const place::Cluster& cluster,
               const RunCommandOptions& options) {
  if (placement.offloaded == 0) return;
  const char* why = nullptr;
  if (options.run.train != execute::Training::kNone) {
    why = "training steps";
  } else if (!placement.host) {
    why = "a forward pass by the placement of a training step";
  } else {
    for (const execute::DeviceSpec& device : execute::DevicesOf(cluster)) {
      if (device.cuda()) why = "CUDA devices";
    }
  }
  if (why == nullptr) return;
  throw UsageError(
      fmt::format("with {} the executor keeps all parameters on their devices, and the "
                  "placement has those of {} operators on the host",
                  why, placement.offloaded),
      options.placement.string(), "place without --offload");
}

}  // namespace

int RunRun(const RunCommandOptions& options, const cli::Context& context) {
  if (options.results) {
    if (!options.run.check)
      throw UsageError("the results are those of the check", "--results", "leave --no-check out");
    if (std::filesystem::exists(*options.results) && !context.common.force &&
        !context.common.dry_run)
      throw UsageError("the file exists", options.results->string(), "--force replaces it");
  }
  at::set_num_threads(1);
  LoadBackend(options.devices);
  if (context.common.device.starts_with("cuda")) execute::ParseDevice(context.common.device);
  const execute::Program program = ReadModel(options.model, options.inputs, context);
  Session session{options, context, program, GraphOf(options, program, context), {}, {}, {}, {}};
  session.cluster = options.devices.Make(session.graph);
  const place::Placement placement = place::ReadPlacement(
      options.placement, session.graph, session.cluster, options.graph.has_value());
  CheckHost(placement, session.cluster, options);
  session.layout = execute::LayoutOf(program, session.graph, session.cluster, placement);
  execute::RunResult result;
  Json summary;
  InRunDir(context, [&](run::RunDir* directory) -> nlohmann::json {
    const StopSignals stop;
    result = RunUntilPredicted(session);
    if (result.step_us.empty())
      throw InterruptedError("interrupted before the first measured step", "", "run again");
    summary = Summary(session, result);
    if (options.results && !context.common.dry_run) SaveResults(*options.results, program, result);
    if (directory) WriteFiles(session, result, *directory);
    if (context.common.json) {
      fmt::print("{}\n", summary.dump());
    } else {
      Print(session, result);
    }
    if (StopRequested()) {
      throw InterruptedError(fmt::format("interrupted after {} steps", result.step_us.size()), "",
                             "run again for all");
    }
    return nlohmann::json::parse(summary.dump());
  });
  if (!result.passed) {
    throw ImpossibleError("the placed model computes something else than one device",
                          options.model.string(), "see --tolerance");
  }
  return 0;
}

}  // namespace orchard::baechi_place
