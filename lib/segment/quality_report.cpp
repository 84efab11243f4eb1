#include "segment/quality_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "volume/overlay.h"

namespace orchard::segment {
namespace {

using Json = nlohmann::ordered_json;

Json Number(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }

std::string Text(double v) { return std::isfinite(v) ? fmt::format("{:.6g}", v) : ""; }

double Pearson(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  const double ma = std::accumulate(a.begin(), a.end(), 0.0) / n;
  const double mb = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) * (a[i] - ma);
    bb += (b[i] - mb) * (b[i] - mb);
  }
  return ab / std::sqrt(aa * bb);
}

// Ranks from 1; equal values share the mean of theirs.
std::vector<double> Ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t i = 0; i < order.size();) {
    size_t end = i;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    for (size_t n = i; n < end; ++n) ranks[order[n]] = 0.5 * static_cast<double>(i + end + 1);
    i = end;
  }
  return ranks;
}

struct Estimate {
  const char* key;
  const char* name;
  double ClassQuality::*value;
};
constexpr Estimate kEstimates[] = {
    {"Support", "Dice of the witnesses with the label map", &ClassQuality::support},
    {"PredictedDice", "best reverse Dice", &ClassQuality::predicted_dice},
    {"ReverseMean", "mean reverse Dice", &ClassQuality::reverse_mean},
    {"Agreement", "agreement of the witnesses", &ClassQuality::agreement}};

bool HasTruth(const std::vector<AssessedCase>& cases) {
  return std::any_of(cases.begin(), cases.end(),
                     [](const AssessedCase& c) { return !c.truth.empty(); });
}

Agreement AgreementOf(const std::vector<AssessedCase>& cases, const Estimate& estimate) {
  std::vector<double> predicted, truth;
  for (const AssessedCase& c : cases) {
    for (size_t k = 0; k < c.truth.size() && k < c.quality.classes.size(); ++k) {
      predicted.push_back(c.quality.classes[k].*estimate.value);
      truth.push_back(c.truth[k]);
    }
  }
  return Correlate(predicted, truth);
}

std::string VerdictText(const QualityOptions& options) {
  const std::string look = fmt::format(
      "Verdict: \"look\" where support is below {:g} or not defined", options.flag_below);
  if (options.reverse_below > 0)
    return look + fmt::format(", or predicted Dice is below {:g} or not.", options.reverse_below);
  return look + ". Predicted Dice has no say (--reverse-below gives it one).";
}

// The mean over classes of what is defined; 0 where nothing is, so that it comes first.
double CaseSupport(const CaseQuality& q) {
  double sum = 0;
  int64_t count = 0;
  for (const ClassQuality& c : q.classes) {
    if (std::isnan(c.support)) continue;
    sum += c.support;
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

}  // namespace

Agreement Correlate(const std::vector<double>& predicted, const std::vector<double>& truth) {
  std::vector<double> a, b;
  for (size_t i = 0; i < predicted.size(); ++i) {
    if (std::isnan(predicted[i]) || std::isnan(truth[i])) continue;
    a.push_back(predicted[i]);
    b.push_back(truth[i]);
  }
  Agreement result{.count = std::ssize(a)};
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  result.pearson = a.size() > 2 ? Pearson(a, b) : kNone;
  result.spearman = a.size() > 2 ? Pearson(Ranks(a), Ranks(b)) : kNone;
  for (size_t i = 0; i < a.size(); ++i) result.mean_error += std::abs(a[i] - b[i]);
  result.mean_error = a.empty() ? kNone : result.mean_error / static_cast<double>(a.size());
  return result;
}

Json QualityJson(const CaseQuality& q, const std::vector<LabelName>& labels) {
  Json classes = Json::object();
  for (const ClassQuality& c : q.classes) {
    classes[labels[static_cast<size_t>(c.label - 1)].name] = {
        {"PredictedDice", Number(c.predicted_dice)},
        {"ReverseMean", Number(c.reverse_mean)},
        {"best_case", c.best_case},
        {"Agreement", Number(c.agreement)},
        {"Support", Number(c.support)},
        {"voxels", c.voxels},
        {"flagged", c.flagged}};
  }
  return {{"case", q.id},
          {"flagged", q.flagged()},
          {"classes", classes},
          {"disagreement", q.mean_disagreement},
          {"witnesses", q.witnesses},
          {"reverse_cases", q.reverse_cases},
          {"seconds", q.seconds}};
}

Json QualityJson(const std::vector<AssessedCase>& cases, const std::vector<LabelName>& labels) {
  Json all = Json::array();
  int64_t flagged = 0;
  for (const AssessedCase& c : cases) {
    Json json = QualityJson(c.quality, labels);
    for (size_t k = 0; k < c.truth.size(); ++k)
      json["classes"][labels[k].name]["Dice"] = Number(c.truth[k]);
    flagged += c.quality.flagged() ? 1 : 0;
    all.push_back(std::move(json));
  }
  Json json = {{"format", "orchard-segmentation-quality"},
               {"version", 1},
               {"cases", all},
               {"flagged", flagged}};
  if (!HasTruth(cases)) return json;
  for (const Estimate& estimate : kEstimates) {
    const Agreement a = AgreementOf(cases, estimate);
    json["against_reference"][estimate.key] = {{"count", a.count},
                                               {"pearson", Number(a.pearson)},
                                               {"spearman", Number(a.spearman)},
                                               {"mean_absolute_error", Number(a.mean_error)}};
  }
  return json;
}

std::string QualityCsv(const std::vector<AssessedCase>& cases,
                       const std::vector<LabelName>& labels) {
  std::string csv = "case,class,PredictedDice,ReverseMean,Agreement,Support,voxels,flagged,Dice\n";
  for (const AssessedCase& c : cases) {
    for (size_t k = 0; k < c.quality.classes.size(); ++k) {
      const ClassQuality& q = c.quality.classes[k];
      csv += fmt::format("{},{},{},{},{},{},{},{},{}\n", c.quality.id, labels[k].name,
                         Text(q.predicted_dice), Text(q.reverse_mean), Text(q.agreement),
                         Text(q.support), q.voxels, q.flagged ? 1 : 0,
                         k < c.truth.size() ? Text(c.truth[k]) : "");
    }
  }
  return csv;
}

run::Report QualityReport(const std::vector<AssessedCase>& cases,
                          const std::vector<LabelName>& labels, const QualityOptions& options,
                          int64_t pictures) {
  run::Report report("Quality without a reference", "siamese-seg qc");
  std::vector<const AssessedCase*> order;
  order.reserve(cases.size());
  for (const AssessedCase& c : cases) order.push_back(&c);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return CaseSupport(a->quality) < CaseSupport(b->quality);
  });
  const auto flagged =
      std::count_if(cases.begin(), cases.end(), [](const auto& c) { return c.quality.flagged(); });
  report.AddFact("Cases", std::to_string(cases.size()));
  report.AddFact("Flagged", std::to_string(flagged));
  report.AddParagraph(
      "Support: Dice of the label map with what the network makes of the image from other "
      "templates, the witnesses; of a label map that the same network made it says only how much "
      "templates matter. Agreement: the witnesses with each other. Predicted Dice: the label map "
      "steers, as a template, the segmentation of cases whose labels are known; the best Dice it "
      "reaches there. None is a measurement against the truth.");
  report.AddParagraph(VerdictText(options));
  if (HasTruth(cases)) {
    run::Table table;
    table.caption = "Against the references";
    table.columns = {"estimate", "pairs", "Pearson", "Spearman", "mean absolute error"};
    run::Chart chart;
    chart.kind = run::Chart::Kind::kScatter;
    chart.title = "Predicted and true Dice";
    chart.x = {.title = "estimate"};
    chart.y = {.title = "true Dice"};
    for (const Estimate& estimate : kEstimates) {
      const Agreement a = AgreementOf(cases, estimate);
      table.rows.push_back({estimate.name, a.count, run::Cell(a.pearson, 3),
                            run::Cell(a.spearman, 3), run::Cell(a.mean_error, 3)});
      run::Series series{.name = estimate.name};
      for (const AssessedCase& c : cases) {
        for (size_t k = 0; k < c.truth.size(); ++k) {
          series.x.push_back(c.quality.classes[k].*estimate.value);
          series.y.push_back(c.truth[k]);
        }
      }
      chart.series.push_back(std::move(series));
    }
    report.AddSection("Does it tell?").AddTable(table).AddChart(chart);
  }
  run::Table table;
  table.caption = "The most doubtful first";
  table.columns = {"case", "class", "verdict", "support"};
  if (HasTruth(cases)) table.columns.emplace_back("true Dice");
  for (const char* column : {"agreement", "predicted Dice", "mean reverse Dice", "voxels"})
    table.columns.emplace_back(column);
  for (const AssessedCase* c : order) {
    for (size_t k = 0; k < c->quality.classes.size(); ++k) {
      const ClassQuality& q = c->quality.classes[k];
      std::vector<run::Cell> row = {c->quality.id, labels[k].name,
                                    q.flagged ? run::Cell(run::Verdict::kFail, "look")
                                              : run::Cell(run::Verdict::kPass, "fine"),
                                    run::Cell(q.support, 3)};
      if (HasTruth(cases))
        row.push_back(k < c->truth.size() ? run::Cell(c->truth[k], 3) : run::Cell(""));
      for (const double value : {q.agreement, q.predicted_dice, q.reverse_mean})
        row.emplace_back(value, 3);
      row.emplace_back(q.voxels);
      table.rows.push_back(std::move(row));
    }
  }
  report.AddSection("Cases").AddTable(table);
  int64_t shown = 0;
  for (const AssessedCase* c : order) {
    if (c->picture.empty() || shown++ >= pictures) continue;
    report.AddPicture(c->picture, "image/png",
                      "Three planes of " + c->quality.id + " through its most disputed voxel",
                      c->quality.id +
                          ": the label map outlined; the warmer, the more templates "
                          "disagree with most of them");
  }
  return report;
}

io::Image DrawDisagreement(const PreparedCase& c, const CaseQuality& quality, const Plan& plan,
                           int64_t pixels) {
  const std::vector<uint16_t> labels(c.labels.begin(), c.labels.end());
  volume::OverlayArgs args;
  args.size = c.image.size;
  args.spacing = plan.spacing;
  if (plan.dims == 2) args.spacing[2] = c.image.frame.spacing[2];
  args.image = c.image.values.data();
  args.outlined = labels.data();
  args.heat = quality.disagreement.data();
  args.pixels = pixels;
  for (const LabelName& l : plan.labels) args.names[l.value] = l.name;
  const auto voxels = static_cast<size_t>(volume::Voxels(c.image.size));
  args.window = volume::ChooseWindow(std::span(c.image.values).first(voxels));
  // Of equally disputed voxels the one nearest to the middle of them all.
  const float most = *std::max_element(quality.disagreement.begin(), quality.disagreement.end());
  std::vector<uint16_t> disputed(voxels, 0);
  for (size_t i = 0; i < voxels && most > 0; ++i)
    disputed[i] = quality.disagreement[i] == most ? 1 : 0;
  const auto& centre_of = most > 0 ? disputed : labels;
  return volume::DrawPlanes(args, volume::CenterOf(centre_of, args.size, 0));
}

}  // namespace orchard::segment
