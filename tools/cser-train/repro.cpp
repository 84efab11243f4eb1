// cser-train repro: the experiments behind the method's claims, and what came out of them here.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "comm/mpi.h"
#include "cser-train/tensor_commands.h"
#include "run/experiment_report.h"
#include "run/progress.h"
#include "run/run_dir.h"
#include "sync/repro/experiments.h"

namespace orchard::cser_train {
namespace {

using sync::repro::Experiment;
using sync::repro::ReproOptions;
using sync::repro::ReproOutcome;
using sync::repro::Setting;

run::CaseStore OpenStore(const ReproOptions& options, const Setting& setting,
                         const cli::Context& context) {
  if (!options.cases.empty()) return {options.cases, setting.Key()};
  if (!context.common.out) return {};
  const std::filesystem::path folder = *context.common.out / "cases";
  if (!context.common.resume) std::filesystem::remove_all(folder);
  return {folder, setting.Key()};
}

ReproOutcome Run(const ReproOptions& options, const Setting& setting,
                 const std::vector<const Experiment*>& experiments, const cli::Context& context) {
  const run::Shard shard = run::ParseShard(options.shard, "--shard");
  const run::CaseStore store = OpenStore(options, setting, context);
  int64_t cases = 0;
  for (const Experiment* e : experiments) cases += std::ssize(e->cases(setting));
  run::Progress progress("repro", cases / shard.count, "trainings",
                         {.enabled = !context.common.no_progress && !context.common.quiet});
  return RunExperiments(experiments, setting, store, shard, [&](std::string_view name) {
    progress.Note(std::string(name));
    progress.Advance();
  });
}

void Print(const ReproOptions& options, const ReproOutcome& outcome, const cli::Context& context) {
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
    int64_t cases = 0;
    for (const Experiment* e : experiments) cases += std::ssize(e->cases(setting));
    fmt::print("{} trainings\n", cases);
    return 0;
  }
  ReproOutcome outcome;
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
