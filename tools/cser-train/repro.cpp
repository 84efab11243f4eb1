// cser-train repro: the experiments behind the method's claims, and what came out of them here.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "call_info.h"
#include "comm/mpi.h"
#include "cser-train/tensor_commands.h"
#include "run/experiment_report.h"
#include "run/experiment_suite.h"
#include "run/progress.h"
#include "run/run_dir.h"
#include "sync/repro/experiments.h"

namespace orchard::cser_train {
namespace {

using run::SuiteOutcome;
using sync::repro::Experiment;
using sync::repro::ReproOptions;
using sync::repro::Setting;

SuiteOutcome Run(const ReproOptions& options, const Setting& setting,
                 const std::vector<const Experiment*>& experiments, const cli::Context& context) {
  const run::Shard shard = run::ParseShard(options.shard, "--shard");
  const auto store = run::CaseStore::OfSuite(options.cases, context.common.out,
                                             context.common.resume, setting.Key());
  run::Progress progress("repro", run::CountCases(experiments, setting) / shard.count, "trainings",
                         {.enabled = !context.common.no_progress && !context.common.quiet});
  // One at a time: a training has threads of its own, one per simulated rank.
  return RunSuite(experiments, setting, store, shard, 1, [&](std::string_view name) {
    progress.Note(std::string(name));
    progress.Advance();
  });
}

void Print(const ReproOptions& options, const SuiteOutcome& outcome, const cli::Context& context) {
  if (context.common.json) {
    fmt::print("{}\n", run::ExperimentsJson(outcome.experiments).dump());
  } else if (outcome.experiments.empty()) {
    fmt::print("{} trainings of shard {} are in {}\n", outcome.cases, options.shard,
               options.cases.string());
  } else {
    for (const run::ExperimentResult& r : outcome.experiments) {
      fmt::print("{}", run::ExperimentText(r));
    }
  }
}

}  // namespace

int RunRepro(const ReproOptions& options, const cli::Context& context) {
  if (!run::ParseShard(options.shard, "--shard").IsWhole() && options.cases.empty()) {
    throw UsageError("a shard leaves its trainings for the others", "--cases",
                     "name a folder that all shards share");
  }
  if (comm::LaunchedByMpi()) {
    throw UsageError("experiments simulate their ranks in one process", "repro",
                     "start it without mpirun");
  }
  RequireCpu(context);
  at::set_num_threads(1);
  const auto experiments = sync::repro::FindExperiments(options.experiments);
  const Setting setting = Setting::Make(options, static_cast<uint64_t>(context.common.seed));
  if (context.common.dry_run) {
    fmt::print("{} trainings\n", run::CountCases(experiments, setting));
    return 0;
  }
  SuiteOutcome outcome;
  if (context.common.out) {
    run::RunDir directory(*context.common.out, MakeRunInfo(context),
                          run::WhenExisting(context.common.force, context.common.resume));
    directory.Record([&] {
      outcome = Run(options, setting, experiments, context);
      directory.WriteReport(run::ExperimentPage("Training with error reset: claims and outcomes",
                                                "cser-train repro", outcome.experiments,
                                                context.config_toml));
      return nlohmann::json::parse(run::ExperimentsJson(outcome.experiments).dump());
    });
  } else {
    outcome = Run(options, setting, experiments, context);
  }
  Print(options, outcome, context);
  for (const run::ExperimentResult& r : outcome.experiments) {
    if (r.verdict() == run::Verdict::kFail) {
      throw ImpossibleError("the experiment did not come out as promised", r.name);
    }
  }
  return 0;
}

}  // namespace orchard::cser_train
