// C3: the released scripts warm up for CSER's family only. Here all methods get it, or none.
#include <fmt/format.h>

#include <algorithm>

#include "sync/repro/experiments.h"

namespace orchard::sync::repro {
namespace {

constexpr double kRatio = 64, kRate = 0.05;
constexpr Method kMethods[] = {kSgd, kEfSgd, kQsparse, kCser1, kCser2};

Training Warm(const Setting& setting, const Method& method) {
  Training training = Varied(TrainingOf(setting, method, kRatio, kRate), "warm-up");
  training.options.schedule.warmup = Warmup::kEpochs;
  training.options.schedule.warmup_epochs = training.options.run.epochs / 3;
  return training;
}

Training Cold(const Setting& setting, const Method& method) {
  return TrainingOf(setting, method, kRatio, kRate);
}

}  // namespace

std::vector<run::Case> WarmUpCases(const Setting& setting) {
  std::vector<Training> trainings;
  for (const Method& method : kMethods) {
    trainings.push_back(Cold(setting, method));
    trainings.push_back(Warm(setting, method));
  }
  return CasesOf(setting, trainings);
}

run::ExperimentResult WarmUp(const Setting& setting, const run::CaseResults& results) {
  run::ExperimentResult result;
  result.claim =
      "Warm-up helps compressed methods at a high learning rate; given to all, it does not change "
      "who is ahead.";
  run::Table table{
      .caption = fmt::format("Test accuracy (%) at ratio {:g}, learning rate {:g}; the "
                             "warm-up is a third of the run",
                             kRatio, kRate),
      .columns = {"Method", "without", "with", "gain (points)"}};
  for (const Method& method : kMethods) {
    const run::Estimate gain =
        Difference(setting, results, Warm(setting, method), Cold(setting, method));
    table.rows.push_back({method.name,
                          AccuracyCell(OutcomeOf(setting, results, Cold(setting, method))),
                          AccuracyCell(OutcomeOf(setting, results, Warm(setting, method))),
                          run::Cell(gain.mean, 3)});
    result.measurements.push_back({fmt::format("gain of {}", method.name), "points", gain, {}});
  }
  result.tables.push_back(std::move(table));
  for (const bool warm : {false, true}) {
    const auto of = [&](const Method& m) { return warm ? Warm(setting, m) : Cold(setting, m); };
    for (const Method* rival : {&kEfSgd, &kQsparse}) {
      result.measurements.push_back({fmt::format("{} above {}, {}", kCser2.name, rival->name,
                                                 warm ? "all warmed up" : "nobody"),
                                     "points", Difference(setting, results, of(kCser2), of(*rival)),
                                     run::Expectation{run::Relation::kAtLeast, 0, false}});
    }
  }
  return result;
}

}  // namespace orchard::sync::repro
