// The paper's experiments as lists of cases, each of which gives numbers, and a conclusion drawn
// from all of them. Cases can be kept, resumed and divided over jobs.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "place/graph.h"
#include "place/paper/options.h"
#include "run/case_runner.h"
#include "run/experiment.h"

namespace orchard::place::paper {

// A graph with what it is called in tables and for how many devices it is.
struct NamedGraph {
  std::string name;
  Graph graph;
  int32_t devices = 4;
};

// What all experiments share.
struct Setting {
  bool full = false;
  uint64_t seed = 0;
  int threads = 1;
  bool gnmt_is_published = false;  // else generated, with analytic costs
  NamedGraph gnmt, inception, transformer;
  std::vector<NamedGraph> others;  // public workloads, and more generated models
  std::filesystem::path program;   // baechi-place itself, for what runs models

  // Reads or generates the graphs. Throws DataError.
  static Setting Make(const PaperOptions& options, uint64_t seed, int threads);
  std::vector<const NamedGraph*> Models() const { return {&gnmt, &inception, &transformer}; }
};

using run::Case;
using Results = run::CaseResults;

struct Experiment {
  std::string_view name;  // "E1"
  std::string_view title;
  std::vector<Case> (*cases)(const Setting& setting);
  run::ExperimentResult (*conclude)(const Setting& setting, const Results& results);
};

std::span<const Experiment> Experiments();
// Those that are asked for, all without names. Throws UsageError with the names there are.
std::vector<const Experiment*> FindExperiments(const std::vector<std::string>& names);

// E1: the published placements of GNMT v2, by the published and by our simulator.
std::vector<Case> PublishedTableCases(const Setting& setting);
run::ExperimentResult PublishedTable(const Setting& setting, const Results& results);
// E2: what co-placement and fusion are worth.
std::vector<Case> AblationCases(const Setting& setting);
run::ExperimentResult Ablation(const Setting& setting, const Results& results);
// E3: ever less memory, down to a quarter of what one device needs, each on four devices.
std::vector<Case> MemorySweepCases(const Setting& setting);
run::ExperimentResult MemorySweep(const Setting& setting, const Results& results);
// E4: small random graphs against the best of all placements.
std::vector<Case> RandomGraphCases(const Setting& setting);
run::ExperimentResult RandomGraphs(const Setting& setting, const Results& results);
// E5: placements made with costs that are wrong.
std::vector<Case> PerturbationCases(const Setting& setting);
run::ExperimentResult Perturbation(const Setting& setting, const Results& results);
// E6: how the time of placing grows.
std::vector<Case> PlanningTimeCases(const Setting& setting);
run::ExperimentResult PlanningTime(const Setting& setting, const Results& results);
// E7: a placement that is really run, on two devices of this processor.
std::vector<Case> ExecutionCases(const Setting& setting);
run::ExperimentResult Execution(const Setting& setting, const Results& results);
// E8: who is best on every graph at hand, one device and HEFT included.
std::vector<Case> AllGraphsCases(const Setting& setting);
run::ExperimentResult AllGraphs(const Setting& setting, const Results& results);

}  // namespace orchard::place::paper
