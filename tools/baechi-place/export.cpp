// baechi-place export: a placement in the formats of others.
#include "place/export.h"

#include <fmt/format.h>

#include "baechi-place/commands.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "place/options.h"
#include "place/placement.h"
#include "place/read_graph.h"

namespace orchard::baechi_place {
namespace {

struct ExportCommandOptions {
  std::filesystem::path graph, placement;
  std::optional<std::filesystem::path> output;
  place::ExportFormat to = place::ExportFormat::kDeviceMap;
  place::DeviceOptions devices;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("graph", graph, "graph file");
    f.Positional("placement", placement, "placement file");
    f("to", to, "format");
    f("output", output, "file to write; without: standard output", cli::Letter('o'));
    f.Section("devices", devices);
  }
};

int RunExport(const ExportCommandOptions& options, const cli::Context& context) {
  if (context.common.json && !options.output) {
    throw UsageError("--json would mix with the exported text on standard output", "export",
                     "-o writes it to a file");
  }
  if (options.output && std::filesystem::exists(*options.output) && !context.common.force)
    throw UsageError("the file exists", options.output->string(), "--force replaces it");
  const place::Graph graph = place::ReadGraph(options.graph);
  const place::Cluster cluster = options.devices.Make(graph);
  const place::Placement placement = place::ReadPlacement(options.placement, graph, cluster);
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
       .summary = "writes a placement as a device map, TensorFlow devices, Graphviz or CSV",
       .example = "baechi-place export data/graphs/gnmt_v2.json placed/placement.json --devices 4 "
                  "--to dot -o g.dot"},
      RunExport);
}

}  // namespace orchard::baechi_place
