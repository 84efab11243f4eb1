// baechi-place import: from a model to a graph file.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "baechi-place/import.h"
#include "base/error.h"
#include "base/number_format.h"
#include "cli/tensor_half.h"
#include "place/read_graph.h"

namespace orchard::baechi_place {
namespace {

struct Totals {
  int64_t parameters = 0, outputs = 0, inputs = 0;
  double us = 0, bwd_us = 0;
  std::vector<std::pair<std::string, int64_t>> types;  // most frequent first
};

Totals Sum(const place::Graph& graph) {
  Totals totals;
  std::map<std::string, int64_t> types;
  for (const place::Op& op : graph.ops) {
    totals.parameters += op.perm;
    totals.outputs += std::accumulate(op.out.begin(), op.out.end(), int64_t{0});
    totals.us += op.us;
    totals.bwd_us += op.bwd_us.value_or(0);
    ++types[op.type.empty() ? "(no type)" : op.type];
  }
  totals.types.assign(types.begin(), types.end());
  std::stable_sort(totals.types.begin(), totals.types.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return totals;
}

nlohmann::ordered_json ToJson(const place::Graph& graph, const place::ImportReport& report,
                              const Totals& totals) {
  nlohmann::ordered_json json = {{"format", report.format},
                                 {"nodes", report.nodes},
                                 {"operators", graph.size()},
                                 {"edges", graph.edges.size()},
                                 {"tensors", graph.tensors.size()},
                                 {"folded", report.folded},
                                 {"inlined_calls", report.inlined},
                                 {"parameter_bytes", totals.parameters},
                                 {"output_bytes", totals.outputs},
                                 {"work_us", totals.us},
                                 {"backward_us", totals.bwd_us},
                                 {"flops", report.flops},
                                 {"dense_flops", report.dense_flops},
                                 {"inferred_shapes", report.inferred_shapes},
                                 {"stated_shapes", report.stated_shapes},
                                 {"source", graph.cost_source}};
  json["types"] = nlohmann::ordered_json::object();
  for (const auto& [type, count] : totals.types) json["types"][type] = count;
  json["notes"] = report.notes;
  return json;
}

void Print(const place::Graph& graph, const place::ImportReport& report, const Totals& totals) {
  fmt::print("{} ({})\n", graph.name.empty() ? "graph" : graph.name, report.format);
  if (report.nodes > 0) {
    fmt::print("{} nodes: {} operators and inputs, {} folded into them as constants and shapes{}\n",
               FormatInteger(report.nodes), FormatInteger(graph.size()),
               FormatInteger(report.folded),
               report.inlined > 0
                   ? fmt::format(", {} calls of functions unfolded", FormatInteger(report.inlined))
                   : "");
  } else {
    fmt::print("{} operators\n", FormatInteger(graph.size()));
  }
  fmt::print("{} edges, {} tensors; parameters {}, outputs {}\n",
             FormatInteger(static_cast<int64_t>(graph.edges.size())),
             FormatInteger(static_cast<int64_t>(graph.tensors.size())),
             FormatBytes(static_cast<uint64_t>(totals.parameters)),
             FormatBytes(static_cast<uint64_t>(totals.outputs)));
  if (report.flops > 0) {
    fmt::print("{:.4g} GFLOP forward, {:.1f} % of it in products and convolutions\n",
               report.flops / 1e9, 100 * report.dense_flops / report.flops);
  }
  fmt::print("work {}{}", FormatDuration(totals.us * 1e-6),
             graph.cost_source.empty() ? "" : fmt::format(" ({})", graph.cost_source));
  if (totals.bwd_us > 0) fmt::print(", backward {}", FormatDuration(totals.bwd_us * 1e-6));
  fmt::print("\n");
  if (report.inferred_shapes + report.stated_shapes > 0) {
    fmt::print("shapes: {} follow from their operators, {} are stated\n",
               FormatInteger(report.inferred_shapes), FormatInteger(report.stated_shapes));
  }
  std::string types;
  constexpr size_t kShown = 8;
  for (size_t i = 0; i < std::min(kShown, totals.types.size()); ++i)
    types += fmt::format("{}{} {}", i ? ", " : "", FormatInteger(totals.types[i].second),
                         totals.types[i].first);
  if (totals.types.size() > kShown)
    types += fmt::format(", {} other types", totals.types.size() - kShown);
  fmt::print("types: {}\n", types);
  for (const std::string& note : report.notes) fmt::print("note: {}\n", note);
}

// PyTorch's own files, which the tensor half reads.
bool NeedsTensors(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".pt" || extension == ".ts" || extension == ".pt2";
}

int RunImport(const ImportCommandOptions& options, const cli::Context& context,
              const ReadTorchGraph& read_torch) {
  if (options.output && std::filesystem::exists(*options.output) && !context.common.force &&
      !context.common.dry_run) {
    throw UsageError("the file exists", options.output->string(), "--force replaces it");
  }
  place::ImportReport report;
  const bool tensors = NeedsTensors(options.model_file);
  if (tensors && !read_torch) cli::StartTensorHalf(context.program, context.arguments);
  const place::Graph graph = tensors
                                 ? read_torch(options, context, report)
                                 : place::ReadGraph(options.model_file, options.import, &report);
  if (options.output && !context.common.dry_run) place::WriteGraph(*options.output, graph);
  const Totals totals = Sum(graph);
  if (context.common.json) {
    fmt::print("{}\n", ToJson(graph, report, totals).dump());
  } else {
    Print(graph, report, totals);
  }
  return 0;
}

}  // namespace

void AddImport(cli::Program& program, const ReadTorchGraph& read_torch) {
  program.Add<ImportCommandOptions>(
      {.name = "import",
       .summary = "turns a model (ONNX, TorchScript, TensorFlow, Graphviz) into a graph with times "
                  "and sizes",
       .example = "baechi-place import data/graphs/two_towers.onnx --dim batch=32 --dim words=64 "
                  "-o towers.json"},
      [read_torch](const ImportCommandOptions& options, const cli::Context& context) {
        return RunImport(options, context, read_torch);
      });
}

}  // namespace orchard::baechi_place
