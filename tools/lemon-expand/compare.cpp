// lemon-expand compare: every method from one source in one table.
#include "lemon-expand/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/number_format.h"
#include "lemon-expand/run_info.h"
#include "lemon-expand/tensor_commands.h"
#include "run/progress.h"
#include "run/report.h"
#include "run/run_dir.h"

namespace orchard::lemon_expand {
namespace {

using Json = nlohmann::ordered_json;
using expand::Comparison;
using expand::MethodOutcome;

Json OutcomeJson(const MethodOutcome& m) {
  Json json = {{"method", expand::Name(m.method)}, {"reached", m.refused.empty()}};
  if (!m.refused.empty()) {
    json["reason"] = m.refused;
    return json;
  }
  json["lossless"] = m.lossless;
  json["exactness"] = m.exactness;
  json["layers"] = m.layers;
  json["parameters"] = m.parameters;
  json["seconds"] = m.seconds;
  json["relative"] = m.relative;
  const auto add = [&](const char* key, const std::optional<double>& value) {
    if (value) json[key] = *value;
  };
  add("loss", m.loss);
  add("kullback_leibler", m.kullback_leibler);
  add("top1_agreement", m.top1_agreement);
  add("cosine_difference", m.cosine_difference);
  add("copy_divergence", m.divergence);
  const auto add_estimate = [&](const char* key, const std::optional<run::Estimate>& e) {
    if (e) json[key] = {{"mean", e->mean}, {"low", e->low}, {"high", e->high}, {"runs", e->runs}};
  };
  if (m.steps > 0) json["train_steps"] = m.steps;
  add_estimate("loss_before_training", m.first_loss);
  add_estimate("loss_at_equal_flops", m.final_loss);
  add_estimate("trained_copy_divergence", m.trained_divergence);
  return json;
}

Json ResultJson(const Comparison& comparison) {
  Json methods = Json::array();
  for (const MethodOutcome& m : comparison.methods) methods.push_back(OutcomeJson(m));
  Json json = {{"methods", methods}};
  if (comparison.source_loss) json["source_loss"] = *comparison.source_loss;
  return json;
}

// The columns that this comparison has values for.
struct Column {
  const char* title;
  const char* format;
  std::optional<double> MethodOutcome::*value;
};
constexpr Column kColumns[] = {
    {"Loss (nat)", "{:.5f}", &MethodOutcome::loss},
    {"KL (nat)", "{:.2e}", &MethodOutcome::kullback_leibler},
    {"Top-1 agreement", "{:.4f}", &MethodOutcome::top1_agreement},
    {"Cosine difference", "{:.2e}", &MethodOutcome::cosine_difference},
    {"Copy divergence", "{:.2e}", &MethodOutcome::divergence},
};

std::vector<Column> UsedColumns(const Comparison& comparison) {
  std::vector<Column> used;
  for (const Column& column : kColumns) {
    for (const MethodOutcome& m : comparison.methods) {
      if (!(m.*column.value)) continue;
      used.push_back(column);
      break;
    }
  }
  return used;
}

bool IsTrained(const Comparison& comparison) {
  return std::any_of(comparison.methods.begin(), comparison.methods.end(),
                     [](const MethodOutcome& m) { return m.steps > 0; });
}

std::string Value(const MethodOutcome& m, const Column& column) {
  return m.*column.value ? fmt::format(fmt::runtime(column.format), *(m.*column.value)) : "-";
}

// Validation loss and divergence over the training, a line for each method.
void PrintTraining(const Comparison& comparison) {
  fmt::print("\n{:<14} {:>7} {:>24} {:>24} {:>17}\n", "method", "steps", "loss at step 0 (nat)",
             "at equal FLOPs (nat)", "copy divergence");
  const auto text = [](const std::optional<run::Estimate>& e) { return e ? Text(*e) : "-"; };
  for (const MethodOutcome& m : comparison.methods) {
    if (m.steps == 0) continue;
    fmt::print("{:<14} {:>7} {:>24} {:>24} {:>17}\n", expand::Name(m.method), m.steps,
               text(m.first_loss), text(m.final_loss), text(m.trained_divergence));
  }
}

void Print(const Comparison& comparison) {
  const std::vector<Column> columns = UsedColumns(comparison);
  fmt::print("{:<14} {:>10}", "method", "relative");
  for (const Column& column : columns) fmt::print(" {:>17}", column.title);
  fmt::print(" {:>10} {:>9}\n", "parameters", "time");
  for (const MethodOutcome& m : comparison.methods) {
    if (!m.refused.empty()) continue;
    fmt::print("{:<14} {:>10.1e}", expand::Name(m.method), m.relative);
    for (const Column& column : columns) fmt::print(" {:>17}", Value(m, column));
    fmt::print(" {:>10} {:>9}\n", FormatCount(static_cast<double>(m.parameters)),
               FormatDuration(m.seconds));
  }
  if (comparison.source_loss)
    fmt::print("loss of the source {:.5f} nats\n", *comparison.source_loss);
  for (const MethodOutcome& m : comparison.methods) {
    if (!m.refused.empty()) fmt::print("{} cannot: {}\n", expand::Name(m.method), m.refused);
  }
  if (IsTrained(comparison)) PrintTraining(comparison);
}

run::Table MethodTable(const Comparison& comparison) {
  const std::vector<Column> columns = UsedColumns(comparison);
  run::Table table;
  table.columns = {"Method", "Keeps the function", "Relative difference"};
  for (const Column& column : columns) table.columns.push_back(column.title);
  table.columns.insert(table.columns.end(), {"Layers", "Parameters", "Time (s)"});
  for (const MethodOutcome& m : comparison.methods) {
    if (!m.refused.empty()) continue;
    std::vector<run::Cell> row = {expand::Name(m.method), m.lossless ? "yes" : "no",
                                  run::Cell::Shown(fmt::format("{:.1e}", m.relative), m.relative)};
    for (const Column& column : columns) {
      const std::optional<double>& value = m.*column.value;
      row.push_back(value ? run::Cell::Shown(Value(m, column), *value) : run::Cell("-"));
    }
    row.insert(row.end(), {m.layers,
                           run::Cell::Shown(FormatCount(static_cast<double>(m.parameters)),
                                            static_cast<double>(m.parameters)),
                           run::Cell(m.seconds, 3)});
    table.rows.push_back(row);
  }
  return table;
}

run::Chart DifferenceChart(const Comparison& comparison) {
  run::Chart chart{.kind = run::Chart::Kind::kBar,
                   .title = "Largest difference of an output, relative to the largest output",
                   .y = {.title = "relative difference", .logarithmic = true}};
  run::Series series{.name = "before any training"};
  for (const MethodOutcome& m : comparison.methods) {
    if (!m.refused.empty()) continue;
    chart.categories.push_back(expand::Name(m.method));
    series.y.push_back(std::max(m.relative, 1e-18));  // a logarithmic axis has no zero
  }
  chart.series.push_back(series);
  return chart;
}

run::Table TrainingTable(const Comparison& comparison) {
  run::Table table;
  table.columns = {"Method", "Steps", "Loss at step 0 (nat)", "Loss at equal FLOPs (nat)",
                   "Copy divergence after training"};
  const auto cell = [](const std::optional<run::Estimate>& e) {
    return e ? run::Cell::Shown(Text(*e), e->mean) : run::Cell("-");
  };
  for (const MethodOutcome& m : comparison.methods) {
    if (m.steps == 0) continue;
    table.rows.push_back({expand::Name(m.method), run::Cell(m.steps), cell(m.first_loss),
                          cell(m.final_loss), cell(m.trained_divergence)});
  }
  return table;
}

// A metric of each method's first run, over the part of the FLOPs that are spent.
run::Chart CurveChart(const Comparison& comparison, const char* title, run::Axis axis,
                      const expand::Curve expand::RunOutcome::*curve) {
  run::Chart chart{.title = title, .x = {.title = "part of the FLOPs"}, .y = std::move(axis)};
  for (const MethodOutcome& m : comparison.methods) {
    if (m.trainings.empty()) continue;
    const expand::Curve& c = m.trainings.front().*curve;
    if (c.steps.empty()) continue;
    run::Series series{.name = expand::Name(m.method)};
    for (size_t i = 0; i < c.steps.size(); ++i) {
      series.x.push_back(c.steps[i] / static_cast<double>(m.steps));
      series.y.push_back(chart.y.logarithmic ? std::max(c.values[i], 1e-17) : c.values[i]);
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

void AddTraining(const CompareCommandOptions& options, const Comparison& comparison,
                 run::Report& report) {
  const expand::ContinuedTraining& t = options.compare.training;
  report.AddSection("Trained on")
      .AddParagraph(fmt::format(
          "Every model trains on with the same data ({}), seeds and shape of schedule (AdamW, "
          "cosine with 5 % warm-up, peak {}), for the floating-point operations of {} steps of the "
          "widest model: 6 N + 12 L D T each token, embeddings and head left out. What the source "
          "cost is not counted. The peak is the same for all and tuned for none.",
          t.data, FormatSignificant(t.learning_rate, 3), t.steps))
      .AddTable(TrainingTable(comparison))
      .AddChart(CurveChart(comparison, "Validation loss (first seed)",
                           {.title = "loss", .unit = "nat"}, &expand::RunOutcome::valid_loss))
      .AddChart(CurveChart(comparison, "Training loss (first seed)",
                           {.title = "loss", .unit = "nat"}, &expand::RunOutcome::loss));
  const run::Chart divergence = CurveChart(
      comparison, "Copy divergence (first seed); zero is drawn as 1e-17",
      {.title = "mean |u - u'| / |u|", .logarithmic = true}, &expand::RunOutcome::divergence);
  if (!divergence.series.empty()) report.AddChart(divergence);
}

run::Report MakeReport(const CompareCommandOptions& options, const Comparison& comparison,
                       const std::string& config) {
  run::Report report("Ways to grow one model", options.source.string());
  if (comparison.source_loss)
    report.AddFact("Loss of the source", FormatSignificant(*comparison.source_loss, 6) + " nat");
  report.AddSection("Methods")
      .AddTable(MethodTable(comparison))
      .AddChart(DifferenceChart(comparison));
  if (IsTrained(comparison)) AddTraining(options, comparison, report);
  run::Table refused{.columns = {"Method", "Reason"}};
  for (const MethodOutcome& m : comparison.methods) {
    if (!m.refused.empty()) refused.rows.push_back({expand::Name(m.method), m.refused});
  }
  if (!refused.rows.empty()) report.AddSection("Methods that cannot reach it").AddTable(refused);
  report.AddRaw("config.toml", config);
  return report;
}

}  // namespace

int RunCompare(const CompareCommandOptions& options, const cli::Context& context) {
  SetThreads(context);
  Comparison comparison;
  const auto work = [&] {
    run::Progress progress("compare", 0, "steps",
                           {.enabled = !context.common.no_progress && !context.common.quiet});
    expand::CompareSetting setting{.seed = static_cast<uint64_t>(context.common.seed),
                                   .threads = context.common.Threads(),
                                   .on_step = [&](std::string_view what) {
                                     progress.Note(std::string(what));
                                     progress.Advance();
                                   }};
    if (options.compare.training.steps > 0) {
      setting.device = context.common.ResolvedDevice().Name();
      if (context.common.out) setting.trainings = *context.common.out / "trainings";
    }
    comparison = expand::Compare(options.source, options.compare, setting);
  };
  if (context.common.out) {
    run::RunDir directory(*context.common.out, MakeRunInfo(context, "cpu"),
                          run::WhenExisting(context.common.force, context.common.resume));
    if (!context.common.resume) std::filesystem::remove_all(directory.path() / "trainings");
    directory.Record([&] {
      work();
      directory.WriteReport(MakeReport(options, comparison, context.config_toml));
      return nlohmann::json::parse(ResultJson(comparison).dump());
    });
  } else {
    work();
  }
  if (context.common.json) {
    fmt::print("{}\n", ResultJson(comparison).dump());
  } else {
    Print(comparison);
  }
  return 0;
}

}  // namespace orchard::lemon_expand
