// siamese-seg repro: the experiments behind the method's claims, and what came out of them here.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "call_info.h"
#include "comm/mpi.h"
#include "run/experiment_report.h"
#include "run/experiment_suite.h"
#include "run/progress.h"
#include "run/run_dir.h"
#include "segment/repro/experiments.h"
#include "siamese-seg/tensor_commands.h"

namespace orchard::siamese_seg {
namespace {

using run::SuiteOutcome;
using segment::repro::Experiment;
using segment::repro::ReproOptions;
using segment::repro::Setting;

SuiteOutcome Run(const ReproOptions& options, const Setting& setting,
                 const std::vector<const Experiment*>& experiments, const cli::Context& context) {
  const run::Shard shard = run::ParseShard(options.shard, "--shard");
  const auto store = run::CaseStore::OfSuite(options.cases, context.common.out,
                                             context.common.resume, setting.Key());
  run::Progress progress("repro", run::CountCases(experiments, setting) / shard.count, "cases",
                         {.enabled = !context.common.no_progress && !context.common.quiet});
  // One at a time, since processor time is what they share.
  return RunSuite(experiments, setting, store, shard, 1, [&](std::string_view name) {
    progress.Note(std::string(name));
    progress.Advance();
  });
}

// Who trains and who tests, so that other programs can be given the same: DIR/splits/8-seed-1.json.
void WriteSplits(const Setting& setting, const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory / "splits");
  for (const int64_t size : setting.Sizes()) {
    for (int64_t s = 0; s < setting.options.seeds; ++s) {
      const uint64_t seed = setting.seed + static_cast<uint64_t>(s);
      WriteFileAtomically(directory / "splits" / fmt::format("{}-seed-{}.json", size, seed),
                          setting.cohort->SplitJson(size, seed));
    }
  }
}

void Print(const ReproOptions& options, const SuiteOutcome& outcome, const cli::Context& context) {
  if (context.common.json) {
    fmt::print("{}\n", run::ExperimentsJson(outcome.experiments).dump());
  } else if (outcome.experiments.empty()) {
    fmt::print("{} cases of shard {} are in {}\n", outcome.cases, options.shard,
               options.cases.string());
  } else {
    for (const run::ExperimentResult& r : outcome.experiments)
      fmt::print("{}", run::ExperimentText(r));
  }
}

}  // namespace

int RunRepro(const ReproOptions& options, const cli::Context& context) {
  if (!run::ParseShard(options.shard, "--shard").IsWhole() && options.cases.empty()) {
    throw UsageError("a shard leaves its trainings for the others", "--cases",
                     "name a folder that all shards share");
  }
  if (comm::LaunchedByMpi()) {
    throw UsageError("a training here has one process", "repro",
                     "start it without mpirun; divide the work with --shard");
  }
  if (context.common.device != "auto" && context.common.device != "cpu") {
    throw UsageError("experiments share out the processor's time", "--device", "use cpu");
  }
  const auto experiments = segment::repro::FindExperiments(options.experiments);
  const bool scans = std::any_of(experiments.begin(), experiments.end(),
                                 [](const Experiment* e) { return e->needs_scans; });
  const Setting setting = Setting::Make(options, static_cast<uint64_t>(context.common.seed),
                                        context.common.Threads(), scans);
  if (context.common.dry_run) {
    fmt::print("{} trainings and label copies\n", run::CountCases(experiments, setting));
    return 0;
  }
  SuiteOutcome outcome;
  if (context.common.out) {
    run::RunDir directory(*context.common.out, MakeRunInfo(context),
                          run::WhenExisting(context.common.force, context.common.resume));
    directory.Record([&] {
      if (scans) WriteSplits(setting, directory.path());
      outcome = Run(options, setting, experiments, context);
      directory.WriteReport(
          run::ExperimentPage("Segmentation with a labelled template: claims and outcomes",
                              "siamese-seg repro", outcome.experiments, context.config_toml));
      return nlohmann::json::parse(run::ExperimentsJson(outcome.experiments).dump());
    });
  } else {
    outcome = Run(options, setting, experiments, context);
  }
  Print(options, outcome, context);
  for (const run::ExperimentResult& r : outcome.experiments) {
    if (r.verdict() == run::Verdict::kFail)
      throw ImpossibleError("the experiment did not come out as promised", r.name);
  }
  return 0;
}

}  // namespace orchard::siamese_seg
