// baechi-place export: a placement in the formats of others.
#include "place/export.h"

#include <fmt/format.h>

#include "baechi-place/commands.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/number_format.h"
#include "place/onnx/export_parts.h"
#include "place/options.h"
#include "place/placement.h"
#include "place/read_graph.h"

namespace orchard::baechi_place {
namespace {

struct ExportCommandOptions {
  std::filesystem::path graph, placement;
  std::optional<std::filesystem::path> output, model;
  place::ExportFormat to = place::ExportFormat::kDeviceMap;
  place::DeviceOptions devices;
  place::ImportOptions import;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("graph", graph, "graph file");
    f.Positional("placement", placement, "placement file");
    f("to", to, "format");
    f("output", output, "file to write (onnx-parts: directory); without: standard output",
      cli::Letter('o'));
    f("model", model, "onnx-parts, onnx-annotated: the ONNX model that the graph was made of");
    f.Section("devices", devices);
    f.Section("import", import);
  }
};

bool NeedsModel(place::ExportFormat format) {
  return format == place::ExportFormat::kOnnxParts || format == place::ExportFormat::kOnnxAnnotated;
}

// The model cut or annotated, which is written to files of its own.
int ExportModel(const ExportCommandOptions& options, const cli::Context& context,
                const place::Graph& graph, const place::Cluster& cluster,
                const std::vector<int32_t>& device) {
  const std::filesystem::path model = options.model.value_or(options.graph);
  if (!options.model && model.extension() != ".onnx") {
    throw UsageError("the format needs the model itself", "export",
                     "--model gives the ONNX file that the graph was made of");
  }
  if (!options.output)
    throw UsageError("these are files, not text", "export", "-o says where to write");
  if (context.common.dry_run) return 0;
  if (options.to == place::ExportFormat::kOnnxAnnotated) {
    place::onnx::ExportAnnotated(model, graph, cluster, device, *options.output);
    if (context.common.json) fmt::print("{{}}\n");
    return 0;
  }
  const place::onnx::PartsReport report =
      place::onnx::ExportParts(model, graph, cluster, device, options.import, *options.output);
  if (context.common.json) {
    fmt::print("{{\"parts\":{},\"least_parts\":{},\"shared_weights\":{},\"bytes\":{}}}\n",
               report.parts, report.least_parts, report.shared_weights, report.bytes);
  } else {
    fmt::print("{} parts (no cut has fewer than {}), {}: {}\n", report.parts, report.least_parts,
               FormatBytes(report.bytes), options.output->string());
    if (report.shared_weights > 0)
      fmt::print("{} weights stand in several parts\n", report.shared_weights);
  }
  return 0;
}

int RunExport(const ExportCommandOptions& options, const cli::Context& context) {
  if (context.common.json && !options.output && !NeedsModel(options.to)) {
    throw UsageError("--json would mix with the exported text on standard output", "export",
                     "-o writes it to a file");
  }
  if (options.output && std::filesystem::exists(*options.output) && !context.common.force)
    throw UsageError("the file exists", options.output->string(), "--force replaces it");
  const place::Graph graph = place::ReadGraph(options.graph, options.import);
  const place::Cluster cluster = options.devices.Make(graph);
  const place::Placement placement = place::ReadPlacement(options.placement, graph, cluster);
  const bool shows_host =
      options.to == place::ExportFormat::kDot || options.to == place::ExportFormat::kCsv;
  if (!shows_host || !placement.host) place::RefuseOffloaded(placement.offloaded);
  if (NeedsModel(options.to))
    return ExportModel(options, context, graph, cluster, placement.device);
  const place::Problem problem(graph, cluster, {},
                               place::GroupOperators(graph, place::Grouping::kNone));
  const place::Evaluated result = place::ReplayPlacement(problem, placement, options.placement);
  const std::string text = place::ExportPlacement(graph, cluster, result.schedule, options.to);
  if (!options.output) {
    fmt::print("{}", text);
  } else if (!context.common.dry_run) {
    WriteFileAtomically(*options.output, text);
  }
  if (context.common.json) fmt::print("{{\"bytes\":{}}}\n", text.size());
  return 0;
}

}  // namespace

void AddExport(cli::Program& program) {
  program.Add<ExportCommandOptions>(
      {.name = "export",
       .summary =
           "writes a placement as a device map, TensorFlow devices, Graphviz, CSV or ONNX models",
       .example = "baechi-place export data/graphs/gnmt_v2.json placed/placement.json --devices 4 "
                  "--to dot -o g.dot",
       .details = "The example's placement is made by\n"
                  "  baechi-place place data/graphs/gnmt_v2.json --devices 4 --out placed"},
      RunExport);
}

}  // namespace orchard::baechi_place
