#include "segment/evaluate_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/thread_pool.h"
#include "io/png.h"
#include "segment/box_plot.h"
#include "segment/label_map.h"
#include "segment/picture.h"

namespace orchard::segment {
namespace {

using Json = nlohmann::ordered_json;

Json NumberJson(double value) {
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return std::isnan(value) ? Json(nullptr) : Json(value);
}

std::string NumberText(double value) { return std::isnan(value) ? "" : fmt::format("{}", value); }

Json CaseJson(const Evaluation& evaluation, const EvaluatedCase& c,
              const std::vector<MetricColumn>& columns) {
  Json regions;
  for (size_t r = 0; r < evaluation.regions.size(); ++r) {
    const volume::Metrics& m = c.regions[r];
    Json json;
    for (const MetricColumn& column : columns) json[column.name] = NumberJson(column.value(m));
    json["TP"] = m.true_positives;
    json["FP"] = m.false_positives;
    json["FN"] = m.false_negatives;
    json["TN"] = m.true_negatives;
    json["n_pred"] = m.PredictionVoxels();
    json["n_ref"] = m.ReferenceVoxels();
    if (m.prediction_empty) json["empty_pred"] = true;
    if (m.reference_empty) json["empty_ref"] = true;
    regions[evaluation.regions[r].name] = json;
  }
  return {{"case", c.name},
          {"prediction_file", c.prediction.string()},
          {"reference_file", c.reference.string()},
          {"metrics", regions}};
}

double MeanDice(const EvaluatedCase& c) {
  double sum = 0;
  int64_t count = 0;
  for (const volume::Metrics& m : c.regions) {
    if (std::isnan(m.dice)) continue;
    sum += m.dice;
    ++count;
  }
  return count == 0 ? 2 : sum / static_cast<double>(count);  // nothing to find, nothing found: last
}

// Indices of the cases that worked, the worst first.
std::vector<size_t> WorstFirst(const Evaluation& evaluation) {
  std::vector<size_t> order;
  for (size_t c = 0; c < evaluation.cases.size(); ++c)
    if (evaluation.cases[c].error.empty()) order.push_back(c);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return MeanDice(evaluation.cases[a]) < MeanDice(evaluation.cases[b]);
  });
  return order;
}

std::string WithUnit(const MetricColumn& column) {
  return column.unit.empty() ? column.name : column.name + " (" + column.unit + ")";
}

run::Table SummaryTable(const Evaluation& evaluation, const std::vector<MetricColumn>& columns,
                        int64_t resamples, uint64_t seed) {
  run::Table table{.caption =
                       "Over cases. Mean with its 95 % bootstrap interval; cases where a number "
                       "is not defined are left out and counted.",
                   .columns = {"class", "metric", "mean", "95 % interval", "standard deviation",
                               "median", "worst", "cases", "not defined"}};
  for (size_t r = 0; r < evaluation.regions.size(); ++r) {
    for (const MetricColumn& column : columns) {
      const Distribution d = DescribeColumn(evaluation, column, r, resamples, seed);
      table.rows.push_back({DisplayName(evaluation, r),
                            WithUnit(column),
                            {d.mean, column.digits},
                            fmt::format("{:.4g} to {:.4g}", d.low, d.high),
                            {d.std, 3},
                            {d.median, column.digits},
                            {column.higher_is_better ? d.min : d.max, column.digits},
                            d.cases,
                            d.undefined});
    }
  }
  return table;
}

run::Table CaseTable(const Evaluation& evaluation, const std::vector<size_t>& order,
                     const std::vector<MetricColumn>& columns) {
  run::Table table{.caption = "Worst first by mean Dice.", .columns = {"case", "class"}};
  for (const MetricColumn& column : columns) table.columns.push_back(WithUnit(column));
  table.columns.push_back("remark");
  for (size_t c : order) {
    const EvaluatedCase& one = evaluation.cases[c];
    for (size_t r = 0; r < evaluation.regions.size(); ++r) {
      const volume::Metrics& m = one.regions[r];
      std::vector<run::Cell> row = {one.name, DisplayName(evaluation, r)};
      for (const MetricColumn& column : columns) row.emplace_back(column.value(m), column.digits);
      row.emplace_back(m.prediction_empty && m.reference_empty ? "in neither"
                       : m.prediction_empty                    ? "prediction empty"
                       : m.reference_empty                     ? "reference empty"
                                                               : "");
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

void AddBoxPlots(const Evaluation& evaluation, const std::vector<MetricColumn>& columns,
                 run::Report& report) {
  for (const MetricColumn& column : columns) {
    const bool share = column.name == "Dice" || column.name.starts_with("NSD");
    if (!share && column.name != "HD95" && column.name != "ASSD") continue;
    std::vector<BoxOf> boxes;
    for (size_t r = 0; r < std::min<size_t>(evaluation.regions.size(), 40); ++r) {
      boxes.push_back({DisplayName(evaluation, r), {}});
      for (const EvaluatedCase& c : evaluation.cases)
        if (c.error.empty()) boxes.back().values.push_back(column.value(c.regions[r]));
    }
    const std::string svg = BoxPlotSvg(boxes, column.name, column.unit, share);
    report.AddPicture(std::as_bytes(std::span(svg)), "image/svg+xml",
                      "Box plot of " + column.name + " by class; the numbers are in the tables");
  }
}

// The region that went worst in a case, as a label to cut through.
int64_t WorstLabel(const Evaluation& evaluation, const EvaluatedCase& c) {
  size_t worst = 0;
  double least = 2;
  for (size_t r = 0; r < c.regions.size(); ++r) {
    if (c.regions[r].dice < least) {
      least = c.regions[r].dice;
      worst = r;
    }
  }
  return least > 1 ? 0 : evaluation.regions[worst].labels.front();
}

struct Shown {
  std::vector<std::byte> png;
  std::string caption;
};

Shown DrawCase(const Evaluation& evaluation, const EvaluatedCase& c, const EvaluateOptions& options,
               const std::map<std::string, std::filesystem::path>& images) {
  const auto image = images.find(c.name);
  const auto path = image == images.end() ? std::nullopt : std::optional(image->second);
  std::string caption = fmt::format("{}: Dice", c.name);
  for (size_t r = 0; r < evaluation.regions.size(); ++r)
    caption += fmt::format("{} {} {:.3f}", r == 0 ? "" : ",", DisplayName(evaluation, r),
                           c.regions[r].dice);
  try {
    const Picture picture(path, ReadLabelMap(c.prediction), ReadLabelMap(c.reference), options.view,
                          evaluation.names);
    if (path)
      caption += fmt::format("; window {:.4g} at level {:.4g}", picture.window().width,
                             picture.window().level);
    return {io::EncodePng(picture.Through(WorstLabel(evaluation, c))), caption};
  } catch (const DataError& error) {
    return {{}, c.name + ": no picture: " + error.what()};
  }
}

void AddWorstCases(const Evaluation& evaluation, const std::vector<size_t>& order,
                   const EvaluateOptions& options, int threads, run::Report& report) {
  const size_t count = std::min(order.size(), static_cast<size_t>(options.worst));
  if (count == 0) return;
  std::map<std::string, std::filesystem::path> images;
  if (options.images) images = FindCases(*options.images);
  report.AddSection("Worst cases");
  report.AddParagraph(
      "Axial, coronal and sagittal plane through the class that went worst. Filled: the reference. "
      "Line: the prediction. The patient's right is on the left; dotted lines show where the other "
      "planes cut.");
  std::vector<Shown> shown(count);
  ThreadPool pool(threads);
  pool.ForEach(static_cast<int64_t>(count), [&](int64_t c) {
    const auto at = static_cast<size_t>(c);
    shown[at] = DrawCase(evaluation, evaluation.cases[order[at]], options, images);
  });
  for (const Shown& one : shown) {
    if (one.png.empty())
      report.AddParagraph(one.caption);
    else
      report.AddPicture(one.png, "image/png", "Three planes: " + one.caption, one.caption);
  }
}

}  // namespace

std::string DisplayName(const Evaluation& evaluation, size_t region) {
  const volume::Region& r = evaluation.regions[region];
  if (r.labels.size() == 1 && r.name == std::to_string(r.labels[0])) {
    const auto name = evaluation.names.find(r.labels[0]);
    if (name != evaluation.names.end()) return name->second;
  }
  return r.name;
}

double ForegroundMean(const Evaluation& evaluation, const MetricColumn& column) {
  double sum = 0;
  int64_t count = 0;
  for (size_t r = 0; r < evaluation.regions.size(); ++r) {
    double of_region = 0;
    int64_t cases = 0;
    for (const EvaluatedCase& c : evaluation.cases) {
      if (!c.error.empty() || std::isnan(column.value(c.regions[r]))) continue;
      of_region += column.value(c.regions[r]);
      ++cases;
    }
    if (cases == 0) continue;
    sum += of_region / static_cast<double>(cases);
    ++count;
  }
  return sum / static_cast<double>(count);  // NaN without any
}

Json MetricsJson(const Evaluation& evaluation, int64_t resamples, uint64_t seed) {
  const std::vector<MetricColumn> columns = MetricColumns(evaluation);
  Json foreground, mean, statistics;
  Json cases = Json::array();
  for (const MetricColumn& column : columns)
    foreground[column.name] = NumberJson(ForegroundMean(evaluation, column));
  for (size_t r = 0; r < evaluation.regions.size(); ++r) {
    const std::string& name = evaluation.regions[r].name;
    for (const MetricColumn& column : columns) {
      const Distribution d = DescribeColumn(evaluation, column, r, resamples, seed);
      mean[name][column.name] = NumberJson(d.mean);
      statistics[name][column.name] = {{"mean", NumberJson(d.mean)},     {"low", NumberJson(d.low)},
                                       {"high", NumberJson(d.high)},     {"std", NumberJson(d.std)},
                                       {"median", NumberJson(d.median)}, {"q1", NumberJson(d.q1)},
                                       {"q3", NumberJson(d.q3)},         {"min", NumberJson(d.min)},
                                       {"max", NumberJson(d.max)},       {"cases", d.cases},
                                       {"undefined", d.undefined}};
    }
  }
  for (const EvaluatedCase& c : evaluation.cases)
    if (c.error.empty()) cases.push_back(CaseJson(evaluation, c, columns));
  Json names;
  for (size_t r = 0; r < evaluation.regions.size(); ++r)
    names[evaluation.regions[r].name] = {{"name", DisplayName(evaluation, r)},
                                         {"labels", evaluation.regions[r].labels}};
  return {{"format", "orchard-metrics"},   {"version", 1},
          {"foreground_mean", foreground}, {"mean", mean},
          {"statistics", statistics},      {"regions", names},
          {"metric_per_case", cases}};
}

Json FailuresJson(const Evaluation& evaluation) {
  Json failures = Json::array();
  for (const EvaluatedCase& c : evaluation.cases) {
    if (c.error.empty()) continue;
    failures.push_back({{"case", c.name},
                        {"input", c.prediction.string()},
                        {"error", c.error},
                        {"exit_code", c.exit_code}});
  }
  return {{"format", "orchard-failures"},
          {"version", 1},
          {"failures", failures},
          {"unmatched", evaluation.unmatched}};
}

std::string MetricsCsv(const Evaluation& evaluation) {
  const std::vector<MetricColumn> columns = MetricColumns(evaluation);
  const auto quoted = [](const std::string& text) {
    if (text.find_first_of(",\"\n") == std::string::npos) return text;
    std::string out = "\"";
    for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + "\"";
  };
  std::string csv = "case,class,name";
  for (const MetricColumn& column : columns) csv += "," + column.name;
  csv += ",TP,FP,FN,TN,empty_pred,empty_ref\n";
  for (const EvaluatedCase& c : evaluation.cases) {
    if (!c.error.empty()) continue;
    for (size_t r = 0; r < evaluation.regions.size(); ++r) {
      const volume::Metrics& m = c.regions[r];
      csv += quoted(c.name) + "," + quoted(evaluation.regions[r].name) + "," +
             quoted(DisplayName(evaluation, r));
      for (const MetricColumn& column : columns) csv += "," + NumberText(column.value(m));
      csv +=
          fmt::format(",{},{},{},{},{:d},{:d}\n", m.true_positives, m.false_positives,
                      m.false_negatives, m.true_negatives, m.prediction_empty, m.reference_empty);
    }
  }
  return csv;
}

run::Report EvaluationReport(const Evaluation& evaluation, const EvaluateOptions& options,
                             uint64_t seed, int threads) {
  const std::vector<MetricColumn> columns = MetricColumns(evaluation);
  const std::vector<size_t> order = WorstFirst(evaluation);
  run::Report report(fmt::format("Evaluation of {} cases", order.size()), "siamese-seg evaluate");
  report.AddFact("Mean Dice", fmt::format("{:.4f}", ForegroundMean(evaluation, columns[0])));
  for (const MetricColumn& column : columns)
    if (column.name == "HD95" || column.name.starts_with("NSD"))
      report.AddFact("Mean " + column.name,
                     fmt::format("{:.4g} {}", ForegroundMean(evaluation, column), column.unit));
  report.AddFact("Classes", std::to_string(evaluation.regions.size()));
  if (evaluation.Failed() > 0)
    report.AddVerdict(run::Verdict::kFail, fmt::format("{} cases failed", evaluation.Failed()),
                      "failures.json says why");
  if (!evaluation.unmatched.empty())
    report.AddVerdict(run::Verdict::kFail,
                      fmt::format("{} files without a partner", evaluation.unmatched.size()),
                      evaluation.unmatched.front());
  report.AddSection("Classes");
  AddBoxPlots(evaluation, columns, report);
  AddWorstCases(evaluation, order, options, threads, report);
  report.AddSection("Summary").AddTable(SummaryTable(evaluation, columns, options.resamples, seed));
  report.AddSection("Cases").AddTable(CaseTable(evaluation, order, columns));
  return report;
}

}  // namespace orchard::segment
