// C6: between error reset and error feedback. Gradients are taken at x^ + theta e.
#include <fmt/format.h>

#include "sync/repro/experiments.h"

namespace orchard::sync::repro {
namespace {

std::vector<double> Ratios(const Setting& setting) {
  return setting.quick ? std::vector<double>{64} : std::vector<double>{64, 256, 1024};
}
constexpr double kParts[] = {0, 0.25, 0.5, 1};

Training At(const Setting& setting, double ratio, double theta, Shard shard = Shard::kShuffled) {
  Training training = TrainingOf(setting, kCsea, ratio);
  training.options.optim.impl = Implementation::kOne;
  training.options.compress.theta = theta;
  training.options.data.shard = shard;
  const char* by = shard == Shard::kByLabel ? ", by label" : "";
  return Varied(training, fmt::format("theta {:g}{}", theta, by));
}

}  // namespace

std::vector<run::Case> HeldBackCases(const Setting& setting) {
  std::vector<Training> trainings;
  for (const double ratio : Ratios(setting)) {
    for (const double theta : kParts) trainings.push_back(At(setting, ratio, theta));
  }
  for (const double theta : kParts) {
    trainings.push_back(At(setting, 64, theta, Shard::kByLabel));
  }
  return CasesOf(setting, trainings);
}

run::ExperimentResult HeldBack(const Setting& setting, const run::CaseResults& results) {
  run::ExperimentResult result;
  result.claim =
      "Holding back a part of the error removes the divergence of error feedback, and at high "
      "ratios does better than error reset.";
  run::Table table{
      .caption = "CSEA with gradients at x^ + theta e: accuracy (%)",
      .columns = {"Shards", "Ratio", "theta 0 (error feedback)", "0.25", "0.5", "1 (error reset)"}};
  const auto row = [&](const char* shards, double ratio, Shard shard) {
    std::vector<run::Cell> cells = {shards, run::Cell(ratio)};
    for (const double theta : kParts) {
      cells.push_back(AccuracyCell(OutcomeOf(setting, results, At(setting, ratio, theta, shard))));
    }
    table.rows.push_back(std::move(cells));
  };
  for (const double ratio : Ratios(setting)) row("alike", ratio, Shard::kShuffled);
  row("by label", 64, Shard::kByLabel);
  result.tables.push_back(std::move(table));
  result.measurements.push_back(
      {"theta 0.25 above theta 0, ratio 64", "points",
       Difference(setting, results, At(setting, 64, 0.25), At(setting, 64, 0)),
       run::Expectation{run::Relation::kAtLeast, 5, false}});
  for (const double ratio : Ratios(setting)) {
    if (ratio < 256) continue;
    result.measurements.push_back(
        {fmt::format("theta 0.5 above theta 1, ratio {:g}", ratio), "points",
         Difference(setting, results, At(setting, ratio, 0.5), At(setting, ratio, 1)),
         run::Expectation{run::Relation::kAtLeast, 0, false}});
  }
  result.measurements.push_back(
      {"theta 0.25 above theta 1, by label, ratio 64", "points",
       Difference(setting, results, At(setting, 64, 0.25, Shard::kByLabel),
                  At(setting, 64, 1, Shard::kByLabel)),
       run::Expectation{run::Relation::kAtLeast, 0, false}});
  return result;
}

}  // namespace orchard::sync::repro
