// Runs the experiments behind a method's claims, as far as they are asked for and fall to this
// shard.
//
// An Experiment has a `name` ("C1"), a `title`, `cases(setting)`, which gives a vector of Case, and
// `conclude(setting, results)`, which makes an ExperimentResult of their numbers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/signals.h"
#include "io/printable.h"
#include "run/case_runner.h"
#include "run/experiment.h"
#include "run/shard.h"

namespace orchard::run {

// Those of `all` that are asked for, in their order there; all without names. Throws UsageError,
// naming the option and what there is.
template <class Experiment>
std::vector<const Experiment*> SelectExperiments(std::span<const Experiment> all,
                                                 const std::vector<std::string>& names,
                                                 const std::string& option,
                                                 const std::string& there_are) {
  for (const std::string& name : names) {
    const bool known =
        std::any_of(all.begin(), all.end(), [&](const Experiment& e) { return e.name == name; });
    if (!known) throw UsageError("no experiment " + io::Quoted(name), option, there_are);
  }
  std::vector<const Experiment*> found;
  for (const Experiment& experiment : all) {
    if (names.empty() || std::find(names.begin(), names.end(), experiment.name) != names.end()) {
      found.push_back(&experiment);
    }
  }
  return found;
}

struct SuiteOutcome {
  std::vector<ExperimentResult> experiments;  // none for a shard: others' cases are missing
  int64_t cases = 0;                          // of this shard, all done
  int64_t kept = 0;                           // of those, done by an earlier run
};

// `threads` cases at a time, but those that run alone. `tell` hears of each case before it runs,
// one call at a time. Throws InterruptedError after a signal, when finished cases are kept.
template <class Experiment, class Setting>
SuiteOutcome RunSuite(const std::vector<const Experiment*>& experiments, const Setting& setting,
                      const CaseStore& store, const Shard& shard, int threads,
                      const std::function<void(std::string_view)>& tell) {
  const StopSignals stop;
  CaseRunner runner(store, threads, tell);
  SuiteOutcome outcome;
  int64_t index = 0;
  for (const Experiment* experiment : experiments) {
    std::vector<Case> cases;
    for (Case& c : experiment->cases(setting)) {
      if (shard.Takes(index++)) cases.push_back(std::move(c));
    }
    runner.Run(cases);
    outcome.cases += std::ssize(cases);
    if (!shard.IsWhole()) continue;
    ExperimentResult result = experiment->conclude(setting, runner.results());
    result.name = experiment->name;
    result.title = experiment->title;
    for (const Case& c : cases) {
      result.seconds += runner.results().At(c.name, CaseRunner::kSeconds);
    }
    outcome.experiments.push_back(std::move(result));
  }
  outcome.kept = runner.kept();
  return outcome;
}

// The cases of all experiments.
template <class Experiment, class Setting>
int64_t CountCases(const std::vector<const Experiment*>& experiments, const Setting& setting) {
  int64_t cases = 0;
  for (const Experiment* e : experiments) cases += std::ssize(e->cases(setting));
  return cases;
}

}  // namespace orchard::run
