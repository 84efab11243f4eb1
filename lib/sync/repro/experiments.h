// The method's claims as sets of small trainings, and what came out of them: which algorithm keeps
// its accuracy as traffic shrinks, and where error reset loses (docs/methods/cser-train.md,
// "Experiments").
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "run/case_runner.h"
#include "run/experiment.h"
#include "sync/repro/trainings.h"

namespace orchard::sync::repro {

struct Experiment {
  std::string_view name;  // "C1"
  std::string_view title;
  std::vector<run::Case> (*cases)(const Setting& setting);
  run::ExperimentResult (*conclude)(const Setting& setting, const run::CaseResults& results);
};

std::span<const Experiment> Experiments();
// Those that are asked for, all without names. Throws UsageError with the names there are.
std::vector<const Experiment*> FindExperiments(const std::vector<std::string>& names);

// C1: accuracy of every method as the ratio grows, on shards that are alike.
std::vector<run::Case> RankingCases(const Setting& setting);
run::ExperimentResult Ranking(const Setting& setting, const run::CaseResults& results);
// C2: the same where every rank sees few classes.
std::vector<run::Case> UnlikeRanksCases(const Setting& setting);
run::ExperimentResult UnlikeRanks(const Setting& setting, const run::CaseResults& results);
// C3: warm-up for all methods, or for none.
std::vector<run::Case> WarmUpCases(const Setting& setting);
run::ExperimentResult WarmUp(const Setting& setting, const run::CaseResults& results);
// C4: every block once per cycle, or drawn anew each time.
std::vector<run::Case> BlockOrderCases(const Setting& setting);
run::ExperimentResult BlockOrders(const Setting& setting, const run::CaseResults& results);
// C5: every method at its best learning rate.
std::vector<run::Case> RatesCases(const Setting& setting);
run::ExperimentResult Rates(const Setting& setting, const run::CaseResults& results);
// C6: gradients at x^ + theta e, between error feedback and error reset.
std::vector<run::Case> HeldBackCases(const Setting& setting);
run::ExperimentResult HeldBack(const Setting& setting, const run::CaseResults& results);
// C7: means that are applied some steps late.
std::vector<run::Case> LateMeansCases(const Setting& setting);
run::ExperimentResult LateMeans(const Setting& setting, const run::CaseResults& results);

}  // namespace orchard::sync::repro
