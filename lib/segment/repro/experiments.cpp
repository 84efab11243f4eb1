#include "segment/repro/experiments.h"

#include "run/experiment_suite.h"

namespace orchard::segment::repro {
namespace {

constexpr Experiment kExperiments[] = {
    {"size", "Few to all training cases, equal time", true, SizeCases, SizeStudy},
    {"E1", "Only the template says what is meant", false, EpisodesCases, EpisodesResult},
    {"E2", "A border that is partly invisible", false, PopulationCases, PopulationResult},
    {"E3", "Few labels", true, FewLabelsCases, FewLabels},
    {"E4", "All labels", true, FullDataCases, FullData},
    {"E5", "Each part left out", true, AblationCases, Ablation},
};

}  // namespace

std::span<const Experiment> Experiments() { return kExperiments; }

std::vector<const Experiment*> FindExperiments(const std::vector<std::string>& names) {
  std::string all;
  for (const Experiment& e : kExperiments) all += (all.empty() ? "" : ", ") + std::string(e.name);
  return run::SelectExperiments(Experiments(), names, "experiments", "there are " + all);
}

}  // namespace orchard::segment::repro
