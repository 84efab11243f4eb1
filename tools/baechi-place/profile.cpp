// baechi-place profile: from a model to a graph with measured costs.
#include "execute/profile.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "baechi-place/read_model.h"
#include "baechi-place/session.h"
#include "baechi-place/tensor_commands.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/number_format.h"
#include "execute/program_graph.h"
#include "place/read_graph.h"
#include "run/progress.h"

namespace orchard::baechi_place {
namespace {

// auto and cpu mean one CPU device, which runs an operator on one thread.
execute::DeviceSpec ProfiledDevice(const std::string& name) {
  return execute::ParseDevice(name == "auto" || name == "cpu" ? "cpu:0" : name);
}

nlohmann::ordered_json Summary(const place::Graph& graph, const std::string& device,
                               const std::string& no_training) {
  double forward = 0, backward = 0;
  int64_t parameters = 0;
  for (const place::Op& op : graph.ops) {
    forward += op.us;
    backward += op.bwd_us.value_or(0);
    parameters += op.perm;
  }
  nlohmann::ordered_json json = {{"operators", graph.size()}, {"edges", graph.edges.size()},
                                 {"device", device},          {"forward_us", forward},
                                 {"backward_us", backward},   {"parameter_bytes", parameters}};
  if (!no_training.empty()) json["no_training"] = no_training;
  return json;
}

}  // namespace

int RunProfile(const ProfileCommandOptions& options, const cli::Context& context) {
  if (options.output && std::filesystem::exists(*options.output) && !context.common.force &&
      !context.common.dry_run)
    throw UsageError("the file exists", options.output->string(), "--force replaces it");
  if (!options.output && !context.common.out)
    throw UsageError("nowhere to write the graph", "profile", "-o graph.json, or --out DIR");
  at::set_num_threads(1);
  const execute::DeviceSpec device = ProfiledDevice(context.common.device);
  const execute::Program program = ReadModel(options.model, options.inputs, context);
  nlohmann::ordered_json summary;
  InRunDir(context, [&](run::RunDir* directory) -> nlohmann::json {
    run::Progress progress("profile", 2 * (options.profile.rounds + options.profile.warmup), "runs",
                           {.enabled = !context.common.no_progress && !context.common.quiet});
    const execute::Costs costs =
        execute::Profile(program, device, options.profile, [&] { progress.Advance(); });
    progress.Finish();
    const place::Graph graph = execute::MakeGraph(program, costs);
    const std::string text = place::GraphToJson(graph);
    if (options.output && !context.common.dry_run) WriteFileAtomically(*options.output, text);
    if (directory) WriteFileAtomically(directory->path() / "graph.json", text);
    summary = Summary(graph, device.name, program.no_training);
    return nlohmann::json::parse(summary.dump());
  });
  if (context.common.json) {
    fmt::print("{}\n", summary.dump());
    return 0;
  }
  fmt::print("{} operators, {} edges, {} of parameters; on {} forward {}, backward {}\n",
             summary["operators"].get<int>(), summary["edges"].get<int>(),
             FormatBytes(summary["parameter_bytes"].get<uint64_t>()), device.name,
             FormatDuration(summary["forward_us"].get<double>() * 1e-6),
             FormatDuration(summary["backward_us"].get<double>() * 1e-6));
  if (!program.no_training.empty()) fmt::print("no training: {}\n", program.no_training);
  return 0;
}

}  // namespace orchard::baechi_place
