// baechi-place gen: graphs made up for benchmarks, and of known models.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "baechi-place/commands.h"
#include "base/error.h"
#include "place/generate.h"
#include "place/read_graph.h"

namespace orchard::baechi_place {
namespace {

struct GenCommandOptions {
  std::filesystem::path output;
  place::GenerateOptions generate;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("output", output, "graph file to write");
    generate.Fields(f);
  }
};

int RunGen(const GenCommandOptions& options, const cli::Context& context) {
  if (std::filesystem::exists(options.output) && !context.common.force && !context.common.dry_run)
    throw UsageError("the file exists", options.output.string(), "--force replaces it");
  const place::Graph graph =
      place::Generate(options.generate, static_cast<uint64_t>(context.common.seed));
  if (!context.common.dry_run) place::WriteGraph(options.output, graph);
  if (context.common.json) {
    fmt::print("{}\n",
               nlohmann::ordered_json({{"operators", graph.size()}, {"edges", graph.edges.size()}})
                   .dump());
  } else {
    fmt::print("{} operators, {} edges: {}\n", graph.size(), graph.edges.size(),
               options.output.string());
  }
  return 0;
}

}  // namespace

void AddGen(cli::Program& program) {
  program.Add<GenCommandOptions>(
      {.name = "gen",
       .summary =
           "makes a graph: of a model with estimated times, or a chain, fork-joins or layers",
       .example = "baechi-place gen inception.json --shape inception-v3 --batch 64 --preset v100"},
      RunGen);
}

}  // namespace orchard::baechi_place
