// What the method promises, as sets of trainings by equal processor time, and what came out of them
// (docs/methods/siamese-seg.md, "Experiments").
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "run/case_runner.h"
#include "run/experiment.h"
#include "segment/repro/trainings.h"

namespace orchard::segment::repro {

struct Experiment {
  std::string_view name;  // "E3"
  std::string_view title;
  bool needs_scans;
  std::vector<run::Case> (*cases)(const Setting& setting);
  run::ExperimentResult (*conclude)(const Setting& setting, const run::CaseResults& results);
};

std::span<const Experiment> Experiments();
// Those that are asked for, all without names. Throws UsageError with the names there are.
std::vector<const Experiment*> FindExperiments(const std::vector<std::string>& names);

// E1: made-up images in which only the template says what is meant.
std::vector<run::Case> EpisodesCases(const Setting& setting);
run::ExperimentResult EpisodesResult(const Setting& setting, const run::CaseResults& results);
// E2: made-up organs with a border that is partly invisible.
std::vector<run::Case> PopulationCases(const Setting& setting);
run::ExperimentResult PopulationResult(const Setting& setting, const run::CaseResults& results);
// size: the network with a template, the U-Net with as many parameters, and copied labels, with
// few to all training cases.
std::vector<run::Case> SizeCases(const Setting& setting);
run::ExperimentResult SizeStudy(const Setting& setting, const run::CaseResults& results);
// E3: 4 to 32 labelled cases, paired tests.
std::vector<run::Case> FewLabelsCases(const Setting& setting);
run::ExperimentResult FewLabels(const Setting& setting, const run::CaseResults& results);
// E4: all cases.
std::vector<run::Case> FullDataCases(const Setting& setting);
run::ExperimentResult FullData(const Setting& setting, const run::CaseResults& results);
// E5: each part of the method left out or exchanged.
std::vector<run::Case> AblationCases(const Setting& setting);
run::ExperimentResult Ablation(const Setting& setting, const run::CaseResults& results);

}  // namespace orchard::segment::repro
