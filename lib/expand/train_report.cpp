#include "expand/train_report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/number_format.h"
#include "io/json_lines.h"

namespace orchard::expand {
namespace {

// One key of metrics.jsonl over the steps.
run::Series ReadSeries(const std::filesystem::path& metrics, const char* key, std::string name) {
  run::Series series{.name = std::move(name)};
  io::JsonLinesReader lines(metrics);
  for (nlohmann::json line; lines.Next(line);) {
    if (!line.contains(key) || !line[key].is_number()) continue;
    series.x.push_back(line["step"].get<double>());
    series.y.push_back(line[key].get<double>());
  }
  return series;
}

run::Chart MakeChart(std::string title, run::Axis y, std::vector<run::Series> series) {
  run::Chart chart;
  chart.title = std::move(title);
  chart.x.title = "step";
  chart.y = std::move(y);
  for (run::Series& s : series) {
    if (!s.x.empty()) chart.series.push_back(std::move(s));
  }
  return chart;
}

run::Table StageTable(const std::vector<TrainStage>& stages) {
  run::Table table;
  table.caption = "Growth within the run";
  table.columns = {"from step",
                   "steps",
                   "parameters",
                   "FLOPs",
                   "validation before (nat)",
                   "validation after (nat)"};
  for (const TrainStage& s : stages) {
    const auto loss = [](const std::optional<double>& x) {
      return x ? run::Cell(*x, 6) : run::Cell("");
    };
    table.rows.push_back({s.first_step, s.steps, s.parameters, run::Cell(s.flops, 3),
                          loss(s.loss_before), loss(s.loss_after)});
  }
  return table;
}

run::Chart ScoreChart(const std::filesystem::path& metrics) {
  return MakeChart(
      "Scores", {.title = "score"},
      {ReadSeries(metrics, "valid_top1", "top-1"), ReadSeries(metrics, "accuracy", "accuracy"),
       ReadSeries(metrics, "f1", "F1"), ReadSeries(metrics, "matthews", "Matthews"),
       ReadSeries(metrics, "pearson", "Pearson"), ReadSeries(metrics, "spearman", "Spearman")});
}

}  // namespace

run::Report MakeTrainReport(const TrainResult& r, const std::filesystem::path& metrics,
                            const std::string& config_toml) {
  run::Report report("Training", r.final.string());
  report.AddFact("Steps", FormatInteger(r.steps));
  report.AddFact("Parameters", FormatCount(static_cast<double>(r.parameters)));
  report.AddFact("Tokens or images", FormatCount(static_cast<double>(r.tokens)));
  report.AddFact("Loss of the last batch", fmt::format("{:.4f} nat", r.loss));
  if (r.first_valid_loss) {
    report.AddFact("Validation loss before", fmt::format("{:.4f} nat", *r.first_valid_loss));
  }
  if (r.valid_loss) {
    report.AddFact("Validation loss after", fmt::format("{:.4f} nat", *r.valid_loss));
  }
  if (r.accuracy) report.AddFact("Top-1 accuracy", fmt::format("{:.2f} %", 100 * *r.accuracy));
  report.AddFact("Work", fmt::format("{:.3g} FLOPs", r.flops));
  if (r.best) {
    std::string text = fmt::format("epoch {:.4g}, loss {:.4f}", r.best->epoch, r.best->loss);
    for (const auto& [name, value] : r.best->scores)
      text += fmt::format(", {} {:.4f}", name, value);
    report.AddFact("Best validation", text);
  }
  if (r.copy_divergence)
    report.AddFact("Copy divergence", fmt::format("{:.3g}", *r.copy_divergence));
  report.AddSection("Loss").AddChart(MakeChart("Loss", {.title = "loss", .unit = "nat"},
                                               {ReadSeries(metrics, "loss", "training batch"),
                                                ReadSeries(metrics, "valid_loss", "validation")}));
  if (run::Chart scores = ScoreChart(metrics); !scores.series.empty()) {
    report.AddChart(std::move(scores));
  }
  if (r.stages.size() > 1) report.AddSection("Stages").AddTable(StageTable(r.stages));
  report.AddSection("Optimiser")
      .AddChart(MakeChart("Learning rate", {.title = "learning rate"},
                          {ReadSeries(metrics, "lr", "learning rate")}))
      .AddChart(MakeChart("Gradient norm", {.title = "norm", .logarithmic = true},
                          {ReadSeries(metrics, "grad_norm", "before clipping")}));
  run::Chart divergence =
      MakeChart("Copy divergence", {.title = "|u - u'| / |u|", .logarithmic = true},
                {ReadSeries(metrics, "copy_divergence", "copied units")});
  if (!divergence.series.empty()) {
    report.AddSection("Copies of units").AddChart(std::move(divergence));
  }
  report.AddRaw("config.toml", config_toml);
  return report;
}

}  // namespace orchard::expand
