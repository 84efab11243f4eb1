// E3 and E4: from four labelled cases to all of them.
#include <fmt/format.h>

#include "segment/repro/experiments.h"

namespace orchard::segment::repro {
namespace {

constexpr int64_t kFew[] = {4, 8, 16, 32};

std::vector<int64_t> FewSizes(const Setting& setting) {
  std::vector<int64_t> sizes;
  for (const int64_t wanted : kFew) {
    if (setting.options.quick && wanted > 8) continue;
    if (setting.Size(wanted) == wanted) sizes.push_back(wanted);
  }
  return sizes;
}

Method VoteMethod(int64_t cases) { return CopyMethods(cases).back(); }

// A row: sizes, three methods, the difference and its p-value.
std::vector<run::Cell> Compare(const Setting& setting, const run::CaseResults& results,
                               int64_t cases, Difference& d) {
  const Method with = TemplateMethod(setting, cases), without = UNetMethod(setting, cases);
  d = DifferenceOf(setting, ScanValues(setting, results, with, "dice"),
                   ScanValues(setting, results, without, "dice"));
  return {cases,
          EstimateCell(MeanValue(setting, results, with, "dice")),
          EstimateCell(MeanValue(setting, results, without, "dice")),
          EstimateCell(MeanValue(setting, results, VoteMethod(cases), "dice")),
          EstimateCell(d.mean),
          run::Cell(d.p, 2)};
}

run::Table CompareTable(const Setting& setting) {
  return {.caption = fmt::format("Mean foreground Dice of {} test cases, {:g} minutes of processor "
                                 "time a training",
                                 setting.cohort->test.size(), setting.minutes()),
          .columns = {"training cases", "template network", "U-Net", "vote of ten copies",
                      "difference", "Wilcoxon p"}};
}

std::vector<Method> MethodsOf(const Setting& setting, const std::vector<int64_t>& sizes) {
  std::vector<Method> methods;
  for (const int64_t cases : sizes) {
    methods.push_back(TemplateMethod(setting, cases));
    methods.push_back(UNetMethod(setting, cases));
    methods.push_back(VoteMethod(cases));
  }
  return methods;
}

}  // namespace

std::vector<run::Case> FewLabelsCases(const Setting& setting) {
  return CasesOf(setting, MethodsOf(setting, FewSizes(setting)));
}

run::ExperimentResult FewLabels(const Setting& setting, const run::CaseResults& results) {
  run::ExperimentResult result;
  result.claim =
      "With few labels the network with a template is at least as good as the U-Net at equal "
      "time, with p < 0.05 for two sizes or more, and both beat voting from eight cases on.";
  run::Table table = CompareTable(setting);
  int better = 0;
  for (const int64_t cases : FewSizes(setting)) {
    Difference d;
    table.rows.push_back(Compare(setting, results, cases, d));
    better += d.mean.mean > 0 && d.p < 0.05 ? 1 : 0;
    result.measurements.push_back({fmt::format("Dice above the U-Net's, {} cases", cases), "",
                                   d.mean, run::Expectation{run::Relation::kAtLeast, 0, false}});
    if (cases < 8) continue;
    const std::vector<double> vote = ScanValues(setting, results, VoteMethod(cases), "dice");
    for (const Method& method : {TemplateMethod(setting, cases), UNetMethod(setting, cases)}) {
      const Difference above =
          DifferenceOf(setting, ScanValues(setting, results, method, "dice"), vote);
      result.measurements.push_back(
          {fmt::format("Dice of the {} above the vote, {} cases", method.name, cases), "",
           above.mean, run::Expectation{run::Relation::kAtLeast, 0, false}});
    }
  }
  result.measurements.push_back({"sizes with a template that is better, p < 0.05", "",
                                 run::Single(better),
                                 run::Expectation{run::Relation::kAtLeast, 2, false}});
  result.tables.push_back(std::move(table));
  return result;
}

std::vector<run::Case> FullDataCases(const Setting& setting) {
  return CasesOf(setting, MethodsOf(setting, {setting.Size(1 << 20)}));
}

run::ExperimentResult FullData(const Setting& setting, const run::CaseResults& results) {
  const int64_t all = setting.Size(1 << 20);
  run::ExperimentResult result;
  result.claim =
      "With all labels the network with a template reaches a Dice of 0.87 and loses at most 0.01 "
      "against the U-Net at equal time.";
  run::Table table = CompareTable(setting);
  Difference d;
  table.rows.push_back(Compare(setting, results, all, d));
  result.tables.push_back(std::move(table));
  result.measurements.push_back({fmt::format("Dice with {} cases", all), "",
                                 MeanValue(setting, results, TemplateMethod(setting, all), "dice"),
                                 run::Expectation{run::Relation::kAtLeast, 0.87, false}});
  result.measurements.push_back({"Dice above the U-Net's", "", d.mean,
                                 run::Expectation{run::Relation::kAtLeast, -0.01, false}});
  return result;
}

}  // namespace orchard::segment::repro
