#include "place/paper/experiment.h"

#include <fmt/format.h>

#include <algorithm>

#include "place/models/models.h"
#include "place/read_graph.h"
#include "run/experiment_suite.h"

namespace orchard::place::paper {
namespace {

constexpr Experiment kExperiments[] = {
    {"E1", "Published placements of GNMT v2", PublishedTableCases, PublishedTable},
    {"E2", "Co-placement and fusion", AblationCases, Ablation},
    {"E3", "Less and less memory", MemorySweepCases, MemorySweep},
    {"E4", "Random graphs against the best of all placements", RandomGraphCases, RandomGraphs},
    {"E5", "Wrong costs", PerturbationCases, Perturbation},
    {"E6", "Time of placing against size", PlanningTimeCases, PlanningTime},
    {"E7", "Predicted and measured time of a real model", ExecutionCases, Execution},
    {"E8", "Who is best on every graph", AllGraphsCases, AllGraphs},
};

// The workloads say for how many devices they are.
void AddWorkloads(const std::filesystem::path& folder, std::vector<NamedGraph>& graphs) {
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    NamedGraph named{.name = file.stem().string(), .graph = ReadGraph(file)};
    if (named.graph.devices_hint > 0) named.devices = named.graph.devices_hint;
    graphs.push_back(std::move(named));
  }
}

}  // namespace

Setting Setting::Make(const PaperOptions& options, uint64_t seed, int threads) {
  Setting setting{.full = options.full, .seed = seed, .threads = threads};
  const std::filesystem::path published = options.graphs / "gnmt_v2.json";
  setting.gnmt_is_published = std::filesystem::exists(published);
  setting.gnmt = {"GNMT v2", setting.gnmt_is_published ? ReadGraph(published) : Gnmt({}).graph};
  setting.inception = {"Inception-V3", InceptionV3({}).graph};
  setting.transformer = {"Transformer base", TransformerBase({}).graph};
  AddWorkloads(options.graphs / "workloads", setting.others);
  setting.others.push_back({"mixture of experts (generated)", MixtureOfExperts({}).graph});
  setting.others.push_back({"two towers (generated)", TwoTower({}).graph});
  return setting;
}

std::span<const Experiment> Experiments() { return kExperiments; }

std::vector<const Experiment*> FindExperiments(const std::vector<std::string>& names) {
  return run::SelectExperiments(Experiments(), names, "--experiment", "there are E1 to E8");
}

}  // namespace orchard::place::paper
