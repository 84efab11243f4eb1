// size: what a labelled template is worth with few and with many training cases, against a U-Net of
// as many parameters that trains for as long, and against labels that are only copied.
#include <fmt/format.h>

#include "segment/repro/experiments.h"

namespace orchard::segment::repro {
namespace {

std::vector<Method> MethodsAt(const Setting& setting, int64_t cases) {
  std::vector<Method> methods = {TemplateMethod(setting, cases), UNetMethod(setting, cases)};
  for (Method& copy : CopyMethods(cases)) methods.push_back(std::move(copy));
  return methods;
}

}  // namespace

std::vector<run::Case> SizeCases(const Setting& setting) {
  std::vector<Method> methods;
  for (const int64_t cases : setting.Sizes()) {
    for (Method& method : MethodsAt(setting, cases)) methods.push_back(std::move(method));
  }
  return CasesOf(setting, methods);
}

run::ExperimentResult SizeStudy(const Setting& setting, const run::CaseResults& results) {
  run::ExperimentResult result;
  result.claim =
      "With a template the network is better than the U-Net of as many parameters and as much "
      "training where labels are few, and never worse by more than 0.005.";
  run::Table table{
      .caption = fmt::format("{} test cases: mean over classes, and 95 % bootstrap intervals over "
                             "cases",
                             setting.cohort->test.size()),
      .columns = {"training cases", "method", "Dice", "HD95 (mm)", "NSD at 1 mm",
                  "Dice of each seed", "steps"}};
  run::Chart chart{.title = "Dice against the number of labelled cases",
                   .x = {.title = "training cases", .logarithmic = true},
                   .y = {.title = "mean foreground Dice"}};
  for (const int64_t cases : setting.Sizes()) {
    const std::vector<Method> methods = MethodsAt(setting, cases);
    for (size_t m = 0; m < methods.size(); ++m) {
      const Method& method = methods[m];
      const run::Estimate dice = MeanValue(setting, results, method, "dice");
      const bool network = method.kind == Method::Kind::kNetwork;
      table.rows.push_back(
          {cases, method.name, EstimateCell(dice),
           EstimateCell(MeanValue(setting, results, method, "hd95"), 2),
           EstimateCell(MeanValue(setting, results, method, "nsd")),
           SeedMeans(setting, results, method),
           network ? run::Cell(MeanNumber(setting, results, method, "steps"), 4) : run::Cell("-")});
      if (chart.series.size() <= m) chart.series.push_back({.name = method.name});
      run::Series& line = chart.series[m];
      line.x.push_back(static_cast<double>(cases));
      line.y.push_back(dice.mean);
      line.low.push_back(dice.low);
      line.high.push_back(dice.high);
    }
    const run::Estimate own = MeanValue(setting, results, methods[0], "dice");
    const Difference d = DifferenceOf(setting, ScanValues(setting, results, methods[0], "dice"),
                                      ScanValues(setting, results, methods[1], "dice"));
    if (cases == 16) {
      result.measurements.push_back(
          {"Dice with 16 cases", "", own, run::Expectation{run::Relation::kAtLeast, 0.85, false}});
    }
    if (cases > 50) {
      result.measurements.push_back(
          {"Dice with all cases", "", own, run::Expectation{run::Relation::kAtLeast, 0.88, false}});
    }
    // Fewer cases: to be better. More: not to be worse.
    const double limit = cases <= 8 ? 0 : -0.005;
    result.measurements.push_back({fmt::format("Dice above the U-Net's, {} cases", cases), "",
                                   d.mean,
                                   run::Expectation{run::Relation::kAtLeast, limit, false}});
    result.notes.push_back(
        fmt::format("{} cases: Wilcoxon's signed-rank test of template network against U-Net over "
                    "the test cases gives p = {:.2g}.",
                    cases, d.p));
  }
  result.tables.push_back(std::move(table));
  result.charts.push_back(std::move(chart));
  const Method with = TemplateMethod(setting, setting.Sizes().front());
  const Method without = UNetMethod(setting, setting.Sizes().front());
  result.notes.push_back(fmt::format(
      "{:.0f} parameters with a template, {:.0f} without. Each training has {:g} minutes of "
      "processor time, so the U-Net makes more steps. Intervals cover test cases, not seeds.",
      MeanNumber(setting, results, with, "parameters"),
      MeanNumber(setting, results, without, "parameters"), setting.minutes()));
  if (setting.options.quick)
    result.notes.push_back("A third of a minute is too little to tell methods apart.");
  return result;
}

}  // namespace orchard::segment::repro
