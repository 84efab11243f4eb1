#include "segment/train_result.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/number_format.h"
#include "io/json_lines.h"

namespace orchard::segment {
namespace {

// A number, or null where it is none.
nlohmann::ordered_json Number(double v) {
  return std::isfinite(v) ? nlohmann::ordered_json(v) : nlohmann::ordered_json(nullptr);
}

double MeanOf(const std::vector<double>& values) {
  double sum = 0;
  int64_t count = 0;
  for (const double v : values) {
    if (std::isnan(v)) continue;
    sum += v;
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN();
}

run::Series ReadSeries(const std::filesystem::path& metrics, const std::string& key,
                       std::string name) {
  run::Series series{.name = std::move(name)};
  io::JsonLinesReader lines(metrics);
  for (nlohmann::json line; lines.Next(line);) {
    if (!line.contains(key) || !line[key].is_number()) continue;
    series.x.push_back(line["step"].get<double>());
    series.y.push_back(line[key].get<double>());
  }
  return series;
}

run::Chart LineChart(std::string title, run::Axis y, std::vector<run::Series> series) {
  run::Chart chart;
  chart.title = std::move(title);
  chart.x = {.title = "step"};
  chart.y = std::move(y);
  for (run::Series& s : series)
    if (!s.x.empty()) chart.series.push_back(std::move(s));
  return chart;
}

}  // namespace

std::vector<double> SegmentTrainResult::ClassDice(int64_t classes) const {
  std::vector<double> means;
  for (int64_t c = 0; c < classes; ++c) {
    std::vector<double> values;
    for (const ValidatedCase& v : cases) values.push_back(v.dice[static_cast<size_t>(c)]);
    means.push_back(MeanOf(values));
  }
  return means;
}

double SegmentTrainResult::MeanDice(int64_t classes) const { return MeanOf(ClassDice(classes)); }

nlohmann::ordered_json ToJson(const SegmentTrainResult& r, const Plan& plan) {
  nlohmann::ordered_json classes = nlohmann::ordered_json::object();
  const std::vector<double> dice = r.ClassDice(plan.classes());
  for (size_t c = 0; c < dice.size(); ++c) classes[plan.labels[c].name] = Number(dice[c]);
  nlohmann::ordered_json cases = nlohmann::ordered_json::array();
  for (const ValidatedCase& v : r.cases) {
    nlohmann::ordered_json values = nlohmann::ordered_json::array();
    for (const double d : v.dice) values.push_back(Number(d));
    cases.push_back(
        {{"case", v.id}, {"Dice", values}, {"templates", v.templates}, {"seconds", v.seconds}});
  }
  return {{"steps", r.steps},
          {"epochs", r.epochs},
          {"ranks", r.ranks},
          {"parameters", r.parameters},
          {"training_cases", r.training_cases},
          {"loss", r.loss},
          {"train_seconds", r.train_seconds},
          {"cpu_seconds", r.cpu_seconds},
          {"data_seconds", r.data_seconds},
          {"foreground_mean", {{"Dice", Number(r.MeanDice(plan.classes()))}}},
          {"mean", classes},
          {"validation", cases},
          {"model", r.final.string()}};
}

run::Report MakeTrainReport(const SegmentTrainResult& r, const Plan& plan,
                            const std::filesystem::path& metrics, const std::string& config_toml) {
  run::Report report("Segmentation of " + plan.dataset, r.final.string());
  const double mean = r.MeanDice(plan.classes());
  if (!std::isnan(mean)) report.AddFact("Mean foreground Dice", fmt::format("{:.4f}", mean));
  report.AddFact("Validation cases", FormatInteger(std::ssize(r.cases)));
  report.AddFact("Training cases", FormatInteger(r.training_cases));
  report.AddFact("Parameters", FormatCount(static_cast<double>(r.parameters)));
  report.AddFact("Steps", FormatInteger(r.steps));
  report.AddFact("Training", fmt::format("{} ({} of processor)", FormatDuration(r.train_seconds),
                                         FormatDuration(r.cpu_seconds)));
  std::vector<run::Series> dice = {ReadSeries(metrics, "val_dice", "mean of classes")};
  for (size_t c = 0; c < plan.labels.size(); ++c)
    dice.push_back(ReadSeries(metrics, fmt::format("val_dice_{}", c + 1), plan.labels[c].name));
  // The one at the end, where training was over before the first.
  const bool at_the_end = dice.front().x.empty() && !std::isnan(mean);
  if (at_the_end) {
    std::vector<double> last = r.ClassDice(plan.classes());
    last.insert(last.begin(), mean);
    for (size_t s = 0; s < dice.size(); ++s) {
      if (std::isnan(last[s])) continue;
      dice[s].x = {static_cast<double>(r.steps)};
      dice[s].y = {last[s]};
    }
  }
  std::vector<run::Series> entropy;
  for (size_t s = 0; s < plan.stages.size(); ++s)
    entropy.push_back(
        ReadSeries(metrics, fmt::format("entropy_{}", s), fmt::format("stage {}", s)));
  report.AddSection("Learning curves")
      .AddChart(LineChart(
          at_the_end ? "Dice of the validation cases at the end" : "Dice of some validation cases",
          {.title = "Dice"}, std::move(dice)))
      .AddChart(LineChart(
          "Loss", {.title = "loss"},
          {ReadSeries(metrics, "loss", "total"), ReadSeries(metrics, "ce", "cross-entropy"),
           ReadSeries(metrics, "dice_loss", "minus soft Dice"),
           ReadSeries(metrics, "sim", "similarity")}))
      .AddChart(LineChart("How undecided the template leaves a cell",
                          {.title = "entropy of class weights", .unit = "nat"}, std::move(entropy)))
      .AddChart(LineChart("Learning rate", {.title = "learning rate"},
                          {ReadSeries(metrics, "lr", "learning rate")}));
  if (!r.cases.empty()) {
    run::Table table;
    table.caption = "Validation, whole volumes, worst first";
    table.columns = {"case", "mean Dice"};
    for (const LabelName& l : plan.labels) table.columns.push_back(l.name);
    table.columns.insert(table.columns.end(), {"templates", "time (s)"});
    std::vector<const ValidatedCase*> order;
    for (const ValidatedCase& v : r.cases) order.push_back(&v);
    std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
      return MeanOf(a->dice) < MeanOf(b->dice);
    });
    for (const ValidatedCase* v : order) {
      std::vector<run::Cell> row = {v->id, run::Cell(MeanOf(v->dice), 4)};
      for (const double d : v->dice) row.emplace_back(d, 4);
      std::string names;
      for (const std::string& t : v->templates) names += (names.empty() ? "" : ", ") + t;
      row.emplace_back(names);
      row.emplace_back(v->seconds, 3);
      table.rows.push_back(std::move(row));
    }
    report.AddSection("Cases").AddTable(table);
  }
  report.AddRaw("config.toml", config_toml);
  return report;
}

}  // namespace orchard::segment
