#include "segment/repro/experiments.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "base/signals.h"
#include "io/printable.h"

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
  for (const std::string& name : names) {
    const bool known = std::any_of(std::begin(kExperiments), std::end(kExperiments),
                                   [&](const Experiment& e) { return e.name == name; });
    if (known) continue;
    std::string all;
    for (const Experiment& e : kExperiments) {
      all += (all.empty() ? "" : ", ") + std::string(e.name);
    }
    throw UsageError("no experiment " + io::Quoted(name), "experiments", "there are " + all);
  }
  std::vector<const Experiment*> found;
  for (const Experiment& experiment : kExperiments) {
    if (names.empty() || std::find(names.begin(), names.end(), experiment.name) != names.end()) {
      found.push_back(&experiment);
    }
  }
  return found;
}

ReproOutcome RunExperiments(const std::vector<const Experiment*>& experiments,
                            const Setting& setting, const run::CaseStore& store,
                            const run::Shard& shard,
                            const std::function<void(std::string_view)>& tell) {
  const StopSignals stop;
  run::CaseRunner runner(store, 1, tell);
  ReproOutcome outcome;
  int64_t index = 0;
  for (const Experiment* experiment : experiments) {
    std::vector<run::Case> cases;
    for (run::Case& c : experiment->cases(setting)) {
      if (shard.Takes(index++)) cases.push_back(std::move(c));
    }
    runner.Run(cases);
    outcome.cases += std::ssize(cases);
    if (!shard.IsWhole()) continue;
    run::ExperimentResult result = experiment->conclude(setting, runner.results());
    result.name = experiment->name;
    result.title = experiment->title;
    for (const run::Case& c : cases) {
      result.seconds += runner.results().At(c.name, run::CaseRunner::kSeconds);
    }
    outcome.experiments.push_back(std::move(result));
  }
  return outcome;
}

}  // namespace orchard::segment::repro
