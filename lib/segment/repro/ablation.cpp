// E5: which parts of the method its quality needs. Sixteen training cases; every variant has the
// same processor time.
#include <fmt/format.h>

#include "segment/repro/experiments.h"

namespace orchard::segment::repro {
namespace {

constexpr int64_t kCases = 16;

std::vector<Inference> AllInference() {
  std::vector<Inference> all = {DefaultInference()};
  for (const int64_t templates : {1, 4, 8}) {
    all.push_back({fmt::format("nearest {}", templates), TemplateSelect::kNearest, templates});
    all.push_back({fmt::format("medoid {}", templates), TemplateSelect::kMedoid, templates});
    all.push_back({fmt::format("random {}", templates), TemplateSelect::kRandom, templates});
  }
  all.push_back({"nearest 4, logits", TemplateSelect::kNearest, 4, Ensemble::kLogits});
  return all;
}

constexpr Corruption kCorruptions[] = {Corruption::kNoise, Corruption::kBlur, Corruption::kGamma,
                                       Corruption::kCoarse};

// Test images of every kind and level, with the usual template.
std::vector<Inference> CorruptedInference() {
  std::vector<Inference> all;
  for (const Corruption kind : kCorruptions) {
    for (int level = 1; level <= kCorruptionLevels; ++level) {
      Inference i = DefaultInference();
      i.name = NameOf(kind, level);
      i.corruption = kind;
      i.level = level;
      all.push_back(i);
    }
  }
  return all;
}

struct Variant {
  std::string name;
  Method method;
};

std::vector<Variant> Variants(const Setting& setting) {
  const int64_t cases = setting.Size(kCases);
  std::vector<Variant> variants;
  const auto add = [&](const std::string& name, const auto& change) {
    Method method = TemplateMethod(setting, cases);
    method.name += ", " + name;
    change(method.options);
    variants.push_back({name, std::move(method)});
  };
  add("all parts", [](SegmentTrainOptions&) {});
  variants.back().method.inference = AllInference();
  variants.push_back({"attention off", UNetMethod(setting, cases)});
  variants.back().method.inference = {DefaultInference()};
  if (!setting.options.quick) {
    for (Variant& v : variants) {
      // The same trainings as in `size`, with more predictions: another name.
      v.method.name += ", more predictions";
      for (Inference& i : CorruptedInference()) v.method.inference.push_back(std::move(i));
    }
  }
  const auto attention = [&](const std::string& name, AttentionKind kind) {
    add("attention " + name, [&](SegmentTrainOptions& o) { o.model.attention = kind; });
  };
  attention("none", AttentionKind::kNone);
  if (setting.options.quick) return variants;
  attention("mean", AttentionKind::kMean);
  attention("dot", AttentionKind::kDot);
  attention("prototype", AttentionKind::kPrototype);
  add("regions only",
      [](SegmentTrainOptions& o) { o.model.foreground = ForegroundInput::kRegion; });
  add("masks only", [](SegmentTrainOptions& o) { o.model.foreground = ForegroundInput::kMask; });
  add("blank templates", [](SegmentTrainOptions& o) { o.sampling.blank = true; });
  add("encoders apart", [](SegmentTrainOptions& o) { o.model.share = EncoderShare::kNone; });
  add("full-size template stem",
      [](SegmentTrainOptions& o) { o.model.stem = TemplateStem::kFull; });
  add("no similarity loss", [](SegmentTrainOptions& o) { o.loss.sim = 0; });
  return variants;
}

// Dice against the level of each corruption, for the whole method and the U-Net, and the mean over
// the levels: the area under the curve.
void AddRobustness(const Setting& setting, const run::CaseResults& results,
                   const std::vector<Variant>& variants, run::ExperimentResult& result) {
  run::Table table{.caption = "Changed test images: Dice at levels 1, 2, 3 and their mean",
                   .columns = {"change", "variant", "1", "2", "3", "mean"}};
  for (const Corruption kind : kCorruptions) {
    const std::string change = NameOf(kind, 1).substr(0, NameOf(kind, 1).size() - 2);
    run::Chart chart{.title = "Dice of test images with " + change,
                     .x = {.title = "level"},
                     .y = {.title = "mean foreground Dice"}};
    std::vector<std::vector<double>> means(2);
    for (size_t v = 0; v < 2; ++v) {
      run::Series line{.name = variants[v].name};
      std::vector<run::Cell> row = {change, variants[v].name};
      std::vector<double> sum(setting.cohort->test.size());
      for (int level = 0; level <= kCorruptionLevels; ++level) {
        const std::string how = level == 0 ? "" : NameOf(kind, level);
        const run::Estimate dice = MeanValue(setting, results, variants[v].method, "dice", how);
        line.x.push_back(level);
        line.y.push_back(dice.mean);
        line.low.push_back(dice.low);
        line.high.push_back(dice.high);
        if (level == 0) continue;
        row.push_back(EstimateCell(dice));
        const std::vector<double> values =
            ScanValues(setting, results, variants[v].method, "dice", how);
        for (size_t n = 0; n < sum.size(); ++n) sum[n] += values[n] / kCorruptionLevels;
      }
      row.push_back(EstimateCell(DifferenceOf(setting, sum, std::vector<double>(sum.size())).mean));
      table.rows.push_back(std::move(row));
      chart.series.push_back(std::move(line));
      means[v] = std::move(sum);
    }
    result.charts.push_back(std::move(chart));
    result.measurements.push_back({"Dice above the U-Net's, images with " + change, "",
                                   DifferenceOf(setting, means[0], means[1]).mean,
                                   run::Expectation{run::Relation::kAtLeast, 0, false}});
  }
  result.tables.push_back(std::move(table));
}

}  // namespace

std::vector<run::Case> AblationCases(const Setting& setting) {
  std::vector<Method> methods;
  for (const Variant& v : Variants(setting)) methods.push_back(v.method);
  return CasesOf(setting, methods);
}

run::ExperimentResult Ablation(const Setting& setting, const run::CaseResults& results) {
  run::ExperimentResult result;
  result.claim =
      "Attention over all pairs of cells, with regions and masks of the template, is best; more "
      "and nearer templates help; a template without labels is worth nothing.";
  const std::vector<Variant> variants = Variants(setting);
  const std::vector<double> whole = ScanValues(setting, results, variants.front().method, "dice");
  run::Table table{.caption = fmt::format("{} training cases: Dice of each variant, and how far "
                                          "the whole method is above it",
                                          setting.Size(kCases)),
                   .columns = {"variant", "Dice", "HD95 (mm)", "whole method above it",
                               "Wilcoxon p", "parameters", "steps"}};
  for (const Variant& v : variants) {
    const Difference d =
        DifferenceOf(setting, whole, ScanValues(setting, results, v.method, "dice"));
    table.rows.push_back({v.name, EstimateCell(MeanValue(setting, results, v.method, "dice")),
                          EstimateCell(MeanValue(setting, results, v.method, "hd95"), 2),
                          EstimateCell(d.mean), run::Cell(d.p, 2),
                          run::Cell(MeanNumber(setting, results, v.method, "parameters"), 7),
                          run::Cell(MeanNumber(setting, results, v.method, "steps"), 4)});
    const bool said = v.name == "attention off" || v.name == "attention none" ||
                      v.name == "attention prototype" || v.name == "blank templates";
    if (!said) continue;
    result.measurements.push_back({"whole method above " + v.name, "", d.mean,
                                   run::Expectation{run::Relation::kAtLeast, 0, false}});
  }
  run::Table inference{.caption = "The whole method with other templates at inference",
                       .columns = {"templates", "Dice", "above one nearest"}};
  const Method& method = variants.front().method;
  const std::vector<double> one = ScanValues(setting, results, method, "dice", "nearest 1");
  for (const Inference& i : method.inference) {
    const std::vector<double> values = ScanValues(setting, results, method, "dice", i.name);
    const Difference d = DifferenceOf(setting, values, one);
    inference.rows.push_back({i.name,
                              EstimateCell(MeanValue(setting, results, method, "dice", i.name)),
                              EstimateCell(d.mean, 4)});
    if (i.name != "nearest 8" && i.name != "medoid 1" && i.name != "random 1") continue;
    const bool more = i.name == "nearest 8";
    result.measurements.push_back(
        {i.name + " above nearest 1", "", d.mean,
         run::Expectation{more ? run::Relation::kAtLeast : run::Relation::kAtMost, 0, false}});
  }
  result.tables = {std::move(table), std::move(inference)};
  if (!setting.options.quick) AddRobustness(setting, results, variants, result);
  return result;
}

}  // namespace orchard::segment::repro
