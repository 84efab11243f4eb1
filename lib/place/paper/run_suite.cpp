#include "place/paper/run_suite.h"

#include "base/signals.h"

namespace orchard::place::paper {

SuiteOutcome RunSuite(const std::vector<const Experiment*>& experiments, const Setting& setting,
                      const run::CaseStore& store, const run::Shard& shard,
                      const std::function<void(std::string_view)>& tell) {
  const StopSignals stop;
  run::CaseRunner runner(store, setting.threads, tell);
  SuiteOutcome outcome;
  int64_t index = 0;
  for (const Experiment* experiment : experiments) {
    const std::vector<Case> all = experiment->cases(setting);
    std::vector<Case> cases;
    for (const Case& c : all) {
      if (shard.Takes(index++)) cases.push_back(c);
    }
    runner.Run(cases);
    outcome.cases += std::ssize(cases);
    if (!shard.IsWhole()) continue;
    run::ExperimentResult result = experiment->conclude(setting, runner.results());
    result.name = experiment->name;
    result.title = experiment->title;
    for (const Case& c : cases) result.seconds += runner.results().At(c.name, runner.kSeconds);
    outcome.experiments.push_back(std::move(result));
  }
  outcome.kept = runner.kept();
  return outcome;
}

}  // namespace orchard::place::paper
