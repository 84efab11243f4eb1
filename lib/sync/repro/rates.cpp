// C5: every method with every learning rate, so that no one is judged at another one's.
#include <fmt/format.h>

#include "sync/repro/experiments.h"

namespace orchard::sync::repro {
namespace {

constexpr double kRates[] = {0.002, 0.005, 0.01, 0.02, 0.05};
constexpr Method kRivals[] = {kEfSgd, kQsparse};

std::vector<double> Ratios(const Setting& setting) {
  return setting.quick ? std::vector<double>{64} : std::vector<double>{64, 256};
}

// The training with the best mean.
Training Best(const Setting& setting, const run::CaseResults& results, const Method& method,
              double ratio) {
  Training best;
  double accuracy = -1;
  for (const double rate : kRates) {
    Training training = TrainingOf(setting, method, ratio, rate);
    const double mean = OutcomeOf(setting, results, training).accuracy.mean;
    if (mean > accuracy) best = std::move(training), accuracy = mean;
  }
  return best;
}

void AddRow(run::Table& table, const Setting& setting, const run::CaseResults& results,
            const Method& method, double ratio) {
  std::vector<run::Cell> row = {method.name};
  for (const double rate : kRates) {
    row.push_back(
        AccuracyCell(OutcomeOf(setting, results, TrainingOf(setting, method, ratio, rate))));
  }
  table.rows.push_back(std::move(row));
}

}  // namespace

std::vector<run::Case> RatesCases(const Setting& setting) {
  std::vector<Training> trainings;
  for (const double rate : kRates) {
    trainings.push_back(TrainingOf(setting, kSgd, 1, rate));
    for (const double ratio : Ratios(setting)) {
      for (const Method& method : kCompressed) {
        trainings.push_back(TrainingOf(setting, method, ratio, rate));
      }
    }
  }
  return CasesOf(setting, trainings);
}

run::ExperimentResult Rates(const Setting& setting, const run::CaseResults& results) {
  run::ExperimentResult result;
  result.claim =
      "CSER is ahead of error feedback and QSparse-local-SGD with each at its best rate.";
  for (const double ratio : Ratios(setting)) {
    run::Table table{
        .caption = fmt::format("Test accuracy (%) at ratio {:g}, by learning rate", ratio),
        .columns = {"Method"}};
    for (const double rate : kRates) table.columns.push_back(fmt::format("{:g}", rate));
    AddRow(table, setting, results, kSgd, 1);
    for (const Method& method : kCompressed) AddRow(table, setting, results, method, ratio);
    result.tables.push_back(std::move(table));
    const Training cser = Best(setting, results, kCser2, ratio);
    for (const Method& rival : kRivals) {
      result.measurements.push_back(
          {fmt::format("{} above {} at ratio {:g}", kCser2.name, rival.name, ratio), "points",
           Difference(setting, results, cser, Best(setting, results, rival, ratio)),
           run::Expectation{run::Relation::kAtLeast, 0, false}});
    }
    result.measurements.push_back(
        {fmt::format("SGD above {} at ratio {:g}", kCser2.name, ratio),
         "points",
         Difference(setting, results, Best(setting, results, kSgd, 1), cser),
         {}});
  }
  return result;
}

}  // namespace orchard::sync::repro
