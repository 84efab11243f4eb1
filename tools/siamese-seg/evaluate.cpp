// siamese-seg evaluate: predicted label maps against references.
#include "segment/evaluate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/logging.h"
#include "call_info.h"
#include "run/progress.h"
#include "run/run_dir.h"
#include "run/shard.h"
#include "run/summary.h"
#include "segment/evaluate_report.h"
#include "siamese-seg/commands.h"
#include "siamese-seg/describe.h"

namespace orchard::siamese_seg {
namespace {

using segment::EvaluateOptions;
using segment::Evaluation;

// What results of single cases depend on.
std::string CaseKey(const EvaluateOptions& o) {
  std::string key = run::VersionLine() + o.pred.string() + "\n" + o.ref.string();
  for (int64_t label : o.labels) key += fmt::format(" {}", label);
  for (const std::string& region : o.regions) key += " " + region;
  for (double tolerance : o.tolerances) key += fmt::format(" {}", tolerance);
  return key + fmt::format(" {} {} {}", static_cast<int>(o.surface), static_cast<int>(o.compat),
                           o.distances);
}

void Print(const Evaluation& evaluation) {
  const auto columns = segment::MetricColumns(evaluation);
  const auto shown = [](const segment::MetricColumn& column) {
    return column.name == "Dice" || column.name == "HD95" || column.name == "ASSD" ||
           column.name.starts_with("NSD");
  };
  fmt::print("{:<24}", "class");
  for (const auto& column : columns)
    if (shown(column))
      fmt::print(" {:>26}", column.name + (column.unit.empty() ? "" : " " + column.unit));
  fmt::print(" {:>6}\n", "cases");
  for (size_t r = 0; r < evaluation.regions.size(); ++r) {
    fmt::print("{:<24}", segment::DisplayName(evaluation, r));
    int64_t cases = 0;
    for (const auto& column : columns) {
      if (!shown(column)) continue;
      const segment::Distribution d = segment::DescribeColumn(evaluation, column, r, 2000, 0);
      if (column.name == "Dice") cases = d.cases;
      fmt::print(" {:>26}", fmt::format("{:.4f} [{:.4f}, {:.4f}]", d.mean, d.low, d.high));
    }
    fmt::print(" {:>6}\n", cases);
  }
  if (evaluation.regions.size() < 2) return;
  fmt::print("{:<24}", "mean of the classes");
  for (const auto& column : columns)
    if (shown(column))
      fmt::print(" {:<26}", fmt::format("{:.4f}", segment::ForegroundMean(evaluation, column)));
  fmt::print("\n");
}

void WriteFiles(const Evaluation& evaluation, const EvaluateOptions& options,
                const cli::Context& context, run::RunDir& directory) {
  const auto seed = static_cast<uint64_t>(context.common.seed);
  const std::filesystem::path& folder = directory.path();
  WriteFileAtomically(folder / "metrics.json",
                      segment::MetricsJson(evaluation, options.resamples, seed).dump(1) + "\n");
  WriteFileAtomically(folder / "metrics.csv", segment::MetricsCsv(evaluation));
  if (evaluation.Failed() > 0 || !evaluation.unmatched.empty())
    WriteFileAtomically(folder / "failures.json", segment::FailuresJson(evaluation).dump(1) + "\n");
  directory.WriteReport(
      segment::EvaluationReport(evaluation, options, seed, context.common.Threads()));
}

// Exit code 3 when nothing worked, 4 when something did not.
int Outcome(const Evaluation& evaluation) {
  for (const std::string& line : evaluation.unmatched) LogError(line);
  for (const segment::EvaluatedCase& c : evaluation.cases)
    if (!c.error.empty()) LogError(c.name + ": " + c.error);
  if (evaluation.Failed() == 0 && evaluation.unmatched.empty()) return 0;
  return static_cast<int>(ExitCode::kImpossible);
}

int RunEvaluate(const EvaluateOptions& options, const cli::Context& context) {
  const run::Shard shard = run::ParseShard(options.shard, "--shard");
  if (!shard.IsWhole() && options.cases.empty())
    throw UsageError("--shard without --cases", "", "name the folder that the tasks share");
  run::CaseStore store;
  if (!options.cases.empty() && !context.common.dry_run) store = {options.cases, CaseKey(options)};
  run::Progress progress("evaluate", 0, "cases",
                         {.enabled = !context.common.no_progress && !context.common.quiet});
  const auto evaluate = [&] {
    Evaluation evaluation = segment::Evaluate(options, store, context.common.Threads(),
                                              [&](const std::string&) { progress.Advance(); });
    progress.Finish();
    if (evaluation.Failed() == evaluation.cases.size() && evaluation.Failed() > 0) {
      throw DataError("no case could be evaluated: " + evaluation.cases.front().name + ": " +
                      evaluation.cases.front().error);
    }
    return evaluation;
  };
  const auto result = [&](const Evaluation& evaluation) {
    auto json = segment::MetricsJson(evaluation, options.resamples,
                                     static_cast<uint64_t>(context.common.seed));
    json.update(segment::FailuresJson(evaluation), false);
    json["format"] = "orchard-metrics";
    return json;
  };

  Evaluation evaluation;
  if (context.common.out && !context.common.dry_run) {
    run::RunDir directory(*context.common.out, MakeRunInfo(context),
                          run::WhenExisting(context.common.force, context.common.resume));
    directory.Record([&]() -> nlohmann::json {
      evaluation = evaluate();
      WriteFiles(evaluation, options, context, directory);
      return {{"cases", evaluation.cases.size()},
              {"failed", evaluation.Failed()},
              {"unmatched", evaluation.unmatched.size()},
              {"foreground_mean", result(evaluation)["foreground_mean"]}};
    });
  } else {
    evaluation = evaluate();
  }
  if (const std::vector<int64_t> absent = evaluation.AbsentLabels(); !absent.empty()) {
    LogWarning(fmt::format("no label map has label{} {}", absent.size() > 1 ? "s" : "",
                           fmt::join(absent, ", ")));
  }
  if (context.common.json)
    fmt::print("{}\n", Dump(result(evaluation)));
  else
    Print(evaluation);
  return Outcome(evaluation);
}

}  // namespace

void AddEvaluate(cli::Program& program) {
  program.Add<EvaluateOptions>(
      {.name = "evaluate",
       .summary = "compares predicted label maps with references: overlap, distances, volumes",
       .example = "siamese-seg evaluate --pred predictions --ref references --images images --out "
                  "runs/eval",
       .details =
           "Files are matched by name without ending and nnU-Net's _0000. With --out: "
           "metrics.json, metrics.csv\n"
           "and report.html with the worst cases first. Files without a partner and cases that "
           "fail end with\n"
           "exit code 4, after the others are done."},
      RunEvaluate);
}

}  // namespace orchard::siamese_seg
