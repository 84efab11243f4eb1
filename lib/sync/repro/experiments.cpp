#include "sync/repro/experiments.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "base/signals.h"
#include "io/printable.h"

namespace orchard::sync::repro {
namespace {

constexpr Experiment kExperiments[] = {
    {"C1", "Accuracy as traffic shrinks", RankingCases, Ranking},
    {"C2", "Ranks that see few classes", UnlikeRanksCases, UnlikeRanks},
    {"C3", "Warm-up for all or for none", WarmUpCases, WarmUp},
    {"C4", "Cyclic and uniform blocks", BlockOrderCases, BlockOrders},
    {"C5", "Every method at its best learning rate", RatesCases, Rates},
    {"C6", "A part of the error held back", HeldBackCases, HeldBack},
    {"C7", "Means that arrive late", LateMeansCases, LateMeans},
};

}  // namespace

std::span<const Experiment> Experiments() { return kExperiments; }

std::vector<const Experiment*> FindExperiments(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const bool known = std::any_of(std::begin(kExperiments), std::end(kExperiments),
                                   [&](const Experiment& e) { return e.name == name; });
    if (!known) {
      throw UsageError("no experiment " + io::Quoted(name), "experiments",
                       "there are C1 to C" + std::to_string(std::size(kExperiments)));
    }
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
  // One at a time: a training has threads of its own, one per simulated rank.
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

}  // namespace orchard::sync::repro
