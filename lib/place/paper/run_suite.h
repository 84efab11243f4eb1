// Runs the cases of experiments: those that are kept already are taken, the others divided over
// threads, those that measure time alone.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "place/paper/experiment.h"
#include "run/shard.h"

namespace orchard::place::paper {

struct SuiteOutcome {
  std::vector<run::ExperimentResult> experiments;  // none for a shard: others' cases are missing
  int64_t cases = 0;                               // of this shard, all done
  int64_t kept = 0;                                // of those, done by an earlier run
};

// `tell` hears of each case before it runs, one call at a time. Throws InterruptedError after a
// signal, when the cases under way are kept.
SuiteOutcome RunSuite(const std::vector<const Experiment*>& experiments, const Setting& setting,
                      const run::CaseStore& store, const run::Shard& shard,
                      const std::function<void(std::string_view)>& tell);

}  // namespace orchard::place::paper
