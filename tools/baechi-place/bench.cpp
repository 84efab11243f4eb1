// baechi-place bench: the experiments behind the method's claims, and what came out of them here.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "baechi-place/commands.h"
#include "baechi-place/session.h"
#include "base/error.h"
#include "place/paper/experiment.h"
#include "run/experiment_report.h"
#include "run/experiment_suite.h"
#include "run/progress.h"
#include "run/run_dir.h"

namespace orchard::baechi_place {
namespace {

using place::paper::Experiment;
using place::paper::PaperOptions;
using place::paper::Setting;
using run::SuiteOutcome;

std::string CaseKey(const Setting& setting, const cli::Context& context) {
  std::string graphs;
  for (const place::paper::NamedGraph* model : setting.Models()) graphs += GraphHash(model->graph);
  for (const place::paper::NamedGraph& other : setting.others) graphs += GraphHash(other.graph);
  return ResultKey(context, graphs);
}

SuiteOutcome Run(const PaperOptions& options, const Setting& setting, const cli::Context& context) {
  const run::Shard shard = run::ParseShard(options.shard, "--shard");
  const std::vector<const Experiment*> experiments =
      place::paper::FindExperiments(options.experiment);
  run::Progress progress("bench", 0, "cases",
                         {.enabled = !context.common.no_progress && !context.common.quiet});
  const auto store = run::CaseStore::OfSuite(options.cases, context.common.out,
                                             context.common.resume, CaseKey(setting, context));
  return RunSuite(experiments, setting, store, shard, setting.threads, [&](std::string_view name) {
    progress.Note(std::string(name));
    progress.Advance();
  });
}

int RunBench(const PaperOptions& options, const cli::Context& context) {
  const run::Shard shard = run::ParseShard(options.shard, "--shard");
  if (!shard.IsWhole() && options.cases.empty()) {
    throw UsageError("a shard leaves its cases for the others", "--cases",
                     "name a folder that all shards share");
  }
  Setting setting =
      Setting::Make(options, static_cast<uint64_t>(context.common.seed), context.common.Threads());
  setting.program = std::filesystem::read_symlink("/proc/self/exe");
  SuiteOutcome outcome;
  if (context.common.dry_run) {
    fmt::print("{} cases\n",
               run::CountCases(place::paper::FindExperiments(options.experiment), setting));
    return 0;
  }
  InRunDir(context, [&](run::RunDir* directory) {
    outcome = Run(options, setting, context);
    if (directory) {
      directory->WriteReport(run::ExperimentPage("Claims of the paper, and what else is true",
                                                 "baechi-place bench", outcome.experiments,
                                                 context.config_toml));
    }
    return nlohmann::json::parse(run::ExperimentsJson(outcome.experiments).dump());
  });
  if (context.common.json) {
    fmt::print("{}\n", run::ExperimentsJson(outcome.experiments).dump());
  } else if (!shard.IsWhole()) {
    fmt::print("{} cases of shard {} are in {}\n", outcome.cases, options.shard,
               options.cases.string());
  } else {
    for (const run::ExperimentResult& r : outcome.experiments)
      fmt::print("{}", run::ExperimentText(r));
  }
  for (const run::ExperimentResult& r : outcome.experiments) {
    if (r.verdict() == run::Verdict::kFail)
      throw ImpossibleError("the experiment did not come out as promised", r.name);
  }
  return 0;
}

}  // namespace

void AddBench(cli::Program& program) {
  program.Add<PaperOptions>(
      {.name = "bench",
       .summary = "runs the experiments behind the paper's claims, with a verdict for each",
       .example = "baechi-place bench --experiment E1,E2 --out runs/paper"},
      RunBench);
}

}  // namespace orchard::baechi_place
