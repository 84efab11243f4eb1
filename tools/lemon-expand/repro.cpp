// lemon-expand repro: the experiments behind the method's claims, and whether they hold here.
#include "expand/repro/experiments.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/number_format.h"
#include "lemon-expand/run_info.h"
#include "lemon-expand/tensor_commands.h"
#include "run/progress.h"
#include "run/run_dir.h"

namespace orchard::lemon_expand {
namespace {

using Json = nlohmann::ordered_json;
using expand::repro::ExperimentInfo;
using expand::repro::ExperimentResult;
using expand::repro::Measurement;

const char* Name(run::Verdict verdict) {
  switch (verdict) {
    case run::Verdict::kPass:
      return "passed";
    case run::Verdict::kFail:
      return "failed";
    default:
      return "as it came out";
  }
}

Json MeasurementJson(const Measurement& m) {
  Json json = {{"name", m.name},           {"value", m.value.mean}, {"low", m.value.low},
               {"high", m.value.high},     {"runs", m.value.runs},  {"unit", m.unit},
               {"verdict", Name(Judge(m))}};
  if (m.expected) {
    json["expected"] = Text(*m.expected);
    json["promised"] = m.expected->promised;
  }
  return json;
}

Json ResultJson(const std::vector<ExperimentResult>& results) {
  Json list = Json::array();
  for (const ExperimentResult& r : results) {
    Json measurements = Json::array();
    for (const Measurement& m : r.measurements) measurements.push_back(MeasurementJson(m));
    list.push_back({{"name", r.name},
                    {"title", r.title},
                    {"claim", r.claim},
                    {"verdict", Name(r.verdict())},
                    {"measurements", measurements},
                    {"notes", r.notes},
                    {"seconds", r.seconds}});
  }
  return {{"experiments", list}};
}

void Print(const ExperimentResult& r) {
  fmt::print("{} {}: {} ({})\n", r.name, r.title, Name(r.verdict()), FormatDuration(r.seconds));
  for (const Measurement& m : r.measurements) {
    fmt::print("  {:<62} {:>10}  {}\n", m.name, Text(m.value),
               m.expected ? fmt::format("{}: {}", Text(*m.expected), Name(Judge(m))) : "");
  }
}

void AddExperiment(run::Report& report, const ExperimentResult& r) {
  report.AddSection(r.name + ": " + r.title).AddParagraph(r.claim);
  run::Table table;
  table.columns = {"Measured", "Value", "95 % from", "95 % to", "Runs", "Expected", "Verdict"};
  for (const Measurement& m : r.measurements) {
    const auto number = [](double value) {
      return run::Cell::Shown(Text(expand::Single(value)), value);
    };
    const bool interval = m.value.runs > 1;
    table.rows.push_back({m.unit.empty() ? m.name : fmt::format("{} ({})", m.name, m.unit),
                          number(m.value.mean), interval ? number(m.value.low) : run::Cell(""),
                          interval ? number(m.value.high) : run::Cell(""), m.value.runs,
                          m.expected ? Text(*m.expected) : "",
                          m.expected ? run::Cell(Judge(m), Name(Judge(m))) : run::Cell("")});
  }
  report.AddTable(table);
  for (const run::Chart& chart : r.charts) report.AddChart(chart);
  for (const run::Table& more : r.tables) report.AddTable(more);
  for (const std::string& note : r.notes) report.AddParagraph(note);
}

run::Report MakeReport(const std::vector<ExperimentResult>& results, const std::string& config) {
  run::Report report("Experiments on growing models", "lemon-expand repro");
  for (const ExperimentResult& r : results) {
    report.AddVerdict(r.verdict(), r.name + " " + r.title,
                      fmt::format("{}, {}", Name(r.verdict()), FormatDuration(r.seconds)));
  }
  for (const ExperimentResult& r : results) AddExperiment(report, r);
  report.AddRaw("config.toml", config);
  return report;
}

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
                            .threads = Threads(context),
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
    if (!context.common.json) Print(result);
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
      directory.WriteReport(MakeReport(results, context.config_toml));
      return nlohmann::json::parse(ResultJson(results).dump());
    });
  } else {
    results = RunAll(experiments, options, context);
  }
  if (context.common.json) fmt::print("{}\n", ResultJson(results).dump());
  for (const ExperimentResult& r : results) {
    if (r.verdict() == run::Verdict::kFail)
      throw ImpossibleError("the experiment did not come out as promised", r.name);
  }
  return 0;
}

}  // namespace orchard::lemon_expand
