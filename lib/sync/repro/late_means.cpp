// C7: a link that has several steps' time for a message.
#include <fmt/format.h>

#include "sync/repro/experiments.h"

namespace orchard::sync::repro {
namespace {

std::vector<double> Ratios(const Setting& setting) {
  return setting.quick ? std::vector<double>{64} : std::vector<double>{64, 256, 1024};
}
constexpr int64_t kDelays[] = {0, 1, 5, 10};

Training Late(const Setting& setting, double ratio, int64_t delay) {
  const Training training = TrainingOf(setting, kCsea, ratio);
  if (delay == 0) return training;
  Training late = Varied(training, fmt::format("{} late", delay));
  late.options.compress.delay = delay;
  return late;
}

}  // namespace

std::vector<run::Case> LateMeansCases(const Setting& setting) {
  std::vector<Training> trainings;
  for (const double ratio : Ratios(setting)) {
    for (const int64_t delay : kDelays) trainings.push_back(Late(setting, ratio, delay));
  }
  return CasesOf(setting, trainings);
}

run::ExperimentResult LateMeans(const Setting& setting, const run::CaseResults& results) {
  run::ExperimentResult result;
  result.claim = "Means that are applied up to ten steps late cost next to no accuracy.";
  run::Table table{.caption = "CSEA whose means arrive late: accuracy (%) and drift",
                   .columns = {"Ratio", "at once", "1 step", "5 steps", "10 steps", "drift at once",
                               "10 steps"}};
  for (const double ratio : Ratios(setting)) {
    std::vector<run::Cell> row = {run::Cell(ratio)};
    for (const int64_t delay : kDelays) {
      row.push_back(AccuracyCell(OutcomeOf(setting, results, Late(setting, ratio, delay))));
    }
    for (const int64_t delay : {kDelays[0], kDelays[3]}) {
      row.emplace_back(OutcomeOf(setting, results, Late(setting, ratio, delay)).drift.mean, 3);
    }
    table.rows.push_back(std::move(row));
    for (const int64_t delay : kDelays) {
      if (delay == 0) continue;
      result.measurements.push_back(
          {fmt::format("{} late above at once, ratio {:g}", delay, ratio), "points",
           Difference(setting, results, Late(setting, ratio, delay), Late(setting, ratio, 0)),
           run::Expectation{run::Relation::kAtLeast, -0.5, false}});
    }
  }
  result.tables.push_back(std::move(table));
  return result;
}

}  // namespace orchard::sync::repro
