// C4: with every block sent once per cycle, no block waits long for its turn.
#include <fmt/format.h>

#include "sync/repro/experiments.h"

namespace orchard::sync::repro {
namespace {

std::vector<double> Ratios(const Setting& setting) {
  return setting.quick ? std::vector<double>{64} : std::vector<double>{64, 256, 1024};
}
constexpr Method kMethods[] = {kCsea, kCser2};

Training Cyclic(const Setting& setting, const Method& method, double ratio) {
  Training training = Varied(TrainingOf(setting, method, ratio), "cyclic");
  training.options.compress.order = BlockOrder::kCyclic;
  return training;
}

}  // namespace

std::vector<run::Case> BlockOrderCases(const Setting& setting) {
  std::vector<Training> trainings;
  for (const double ratio : Ratios(setting)) {
    for (const Method& method : kMethods) {
      if (!Fits(method, ratio)) continue;
      trainings.push_back(TrainingOf(setting, method, ratio));
      trainings.push_back(Cyclic(setting, method, ratio));
    }
  }
  return CasesOf(setting, trainings);
}

run::ExperimentResult BlockOrders(const Setting& setting, const run::CaseResults& results) {
  run::ExperimentResult result;
  result.claim =
      "Blocks in cycles keep ranks closer together than blocks drawn anew, with the same traffic, "
      "and cost no accuracy.";
  run::Table table{.caption = "Blocks drawn anew (the paper's way) and in cycles",
                   .columns = {"Method", "Ratio", "Accuracy, uniform (%)", "cyclic (%)",
                               "Drift, uniform", "cyclic"}};
  for (const Method& method : kMethods) {
    for (const double ratio : Ratios(setting)) {
      if (!Fits(method, ratio)) continue;
      const Training uniform = TrainingOf(setting, method, ratio);
      const Training cyclic = Cyclic(setting, method, ratio);
      const Outcome u = OutcomeOf(setting, results, uniform);
      const Outcome c = OutcomeOf(setting, results, cyclic);
      table.rows.push_back({method.name, run::Cell(ratio), AccuracyCell(u), AccuracyCell(c),
                            run::Cell(u.drift.mean, 3), run::Cell(c.drift.mean, 3)});
      if (method.algo != AlgorithmKind::kCsea) continue;
      result.measurements.push_back(
          {fmt::format("{}, ratio {:g}: drift of uniform over cyclic", method.name, ratio), "",
           run::Single(u.drift.mean / c.drift.mean),
           run::Expectation{run::Relation::kAtLeast, ratio >= 256 ? 3.0 : 1.5, false}});
      result.measurements.push_back(
          {fmt::format("{}, ratio {:g}: cyclic above uniform", method.name, ratio), "points",
           Difference(setting, results, cyclic, uniform),
           run::Expectation{run::Relation::kAtLeast, -0.5, false}});
    }
  }
  result.tables.push_back(std::move(table));
  return result;
}

}  // namespace orchard::sync::repro
