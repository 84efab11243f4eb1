// lemon-expand repro: the experiments behind the method's claims, and whether they hold here.
#include "expand/repro/experiments.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "lemon-expand/run_info.h"
#include "lemon-expand/tensor_commands.h"
#include "run/experiment_report.h"
#include "run/progress.h"
#include "run/run_dir.h"

namespace orchard::lemon_expand {
namespace {

using expand::repro::ExperimentInfo;
using run::ExperimentResult;

std::vector<ExperimentResult> RunAll(const std::vector<const ExperimentInfo*>& experiments,
                                     const expand::repro::ReproOptions& options,
                                     const cli::Context& context) {
  std::vector<ExperimentResult> results;
  for (const ExperimentInfo* info : experiments) {
    run::Progress progress(std::string(info->name), 0, "steps",
                           {.enabled = !context.common.no_progress && !context.common.quiet});
    const auto begin = std::chrono::steady_clock::now();
    ExperimentResult result =
        info->run(options, {.seed = static_cast<uint64_t>(context.common.seed),
                            .threads = context.common.Threads(),
                            .device = context.common.ResolvedDevice().Name(),
                            .directory = context.common.out.value_or(std::filesystem::path()),
                            .resume = context.common.resume,
                            .step = [&](std::string_view what) {
                              progress.Note(std::string(what));
                              progress.Advance();
                            }});
    result.name = info->name;
    result.title = info->title;
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    progress.Finish();
    if (!context.common.json) fmt::print("{}", run::ExperimentText(result));
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace

int RunRepro(const expand::repro::ReproOptions& options, const cli::Context& context) {
  SetThreads(context);
  const auto experiments = FindExperiments(options);
  std::vector<ExperimentResult> results;
  if (context.common.out) {
    run::RunDir directory(*context.common.out, MakeRunInfo(context, "cpu"),
                          run::WhenExisting(context.common.force, context.common.resume));
    directory.Record([&] {
      results = RunAll(experiments, options, context);
      directory.WriteReport(run::ExperimentPage(
          "Experiments on growing models", "lemon-expand repro", results, context.config_toml));
      return nlohmann::json::parse(run::ExperimentsJson(results).dump());
    });
  } else {
    results = RunAll(experiments, options, context);
  }
  if (context.common.json) fmt::print("{}\n", run::ExperimentsJson(results).dump());
  for (const ExperimentResult& r : results) {
    if (r.verdict() == run::Verdict::kFail)
      throw ImpossibleError("the experiment did not come out as promised", r.name);
  }
  return 0;
}

}  // namespace orchard::lemon_expand
