// C2: the negative result. Where ranks see other classes, local models follow their own data, and
// error reset is the wrong tool.
#include <fmt/format.h>

#include "sync/repro/experiments.h"

namespace orchard::sync::repro {
namespace {

std::vector<double> Ratios(const Setting& setting) {
  return setting.quick ? std::vector<double>{16} : std::vector<double>{16, 64};
}

Training ByLabel(const Setting& setting, const Method& method, double ratio) {
  Training training = Varied(TrainingOf(setting, method, ratio), "by label");
  training.options.data.shard = Shard::kByLabel;
  return training;
}

}  // namespace

std::vector<run::Case> UnlikeRanksCases(const Setting& setting) {
  std::vector<Training> trainings = {ByLabel(setting, kSgd, 1)};
  for (const double ratio : Ratios(setting)) {
    for (const Method& method : kCompressed) {
      trainings.push_back(ByLabel(setting, method, ratio));
    }
  }
  return CasesOf(setting, trainings);
}

run::ExperimentResult UnlikeRanks(const Setting& setting, const run::CaseResults& results) {
  run::ExperimentResult result;
  result.claim =
      "Where every rank sees one or two classes, error reset loses many points and "
      "QSparse-local-SGD "
      "few: CSER is the wrong tool there.";
  run::Table table{.caption =
                       "Test accuracy of the averaged model (%), data sorted by class before "
                       "it is divided",
                   .columns = {"Method"}};
  for (const double ratio : Ratios(setting))
    table.columns.push_back(fmt::format("ratio {:g}", ratio));
  const auto add = [&](const Method& method) {
    std::vector<run::Cell> row = {method.name};
    for (const double ratio : Ratios(setting)) {
      row.push_back(AccuracyCell(OutcomeOf(setting, results, ByLabel(setting, method, ratio))));
    }
    table.rows.push_back(std::move(row));
  };
  add(kSgd);
  for (const Method& method : kCompressed) add(method);
  result.tables.push_back(std::move(table));
  for (const double ratio : Ratios(setting)) {
    result.measurements.push_back(
        {fmt::format("{} above {} at ratio {:g}", kQsparse.name, kCser2.name, ratio), "points",
         Difference(setting, results, ByLabel(setting, kQsparse, ratio),
                    ByLabel(setting, kCser2, ratio)),
         run::Expectation{run::Relation::kAtLeast, 5, false}});
  }
  return result;
}

}  // namespace orchard::sync::repro
