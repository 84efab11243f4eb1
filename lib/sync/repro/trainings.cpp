#include "sync/repro/trainings.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "base/error.h"
#include "comm/launch.h"
#include "sync/train.h"

namespace orchard::sync::repro {
namespace {

constexpr int64_t kRanks = 8;
constexpr double kGuess = 10;  // %, of ten classes
constexpr const char* kAccuracy = "top1";
constexpr const char* kDiverged = "diverged";

run::Numbers RunTraining(const SyncTrainOptions& options, const TrainingData& data, uint64_t seed) {
  const TrainSetting setting{.seed = seed, .threads = 1, .progress = false};
  SyncResult result;
  try {
    comm::RunRanks({options.run.ranks}, [&](comm::Communicator& ranks) {
      SyncResult own = Train(options, setting, data, ranks, nullptr);
      if (ranks.rank() == 0) result = std::move(own);
    });
  } catch (const DivergedError&) {
    return {{kDiverged, 1}};
  }
  return {{kDiverged, 0},
          {kAccuracy, result.top1},
          {"best_top1", result.best_top1},
          {"loss", result.loss},
          {"test_loss", result.test_loss},
          {"drift", result.drift},
          {"ratio", result.ratio.value_or(1)},
          {"bytes_sent", static_cast<double>(result.bytes_sent)}};
}

std::string CaseName(const Training& training, uint64_t seed) {
  return fmt::format("{}, seed {}", training.name, seed);
}

// Accuracy in % with one seed.
double AccuracyOf(const run::CaseResults& results, const Training& training, uint64_t seed) {
  const std::string name = CaseName(training, seed);
  return results.At(name, kDiverged) > 0 ? kGuess : 100 * results.At(name, kAccuracy);
}

}  // namespace

Setting Setting::Make(const ReproOptions& options, uint64_t seed) {
  SyncTrainOptions o;
  o.run.ranks = kRanks;
  o.run.epochs = options.quick ? 3 : 15;
  o.run.log_every = 78;
  o.data.path = options.data;
  o.data.train_limit = options.quick ? 2000 : 10000;
  o.data.batch = 16;
  o.data.mean = {0.286};
  o.data.deviation = {0.353};
  o.model.arch = "mlp:784-128-64-10";
  o.schedule.milestones = {0.6, 0.8};
  o.schedule.factor = 0.2;
  o.compress.order = BlockOrder::kUniform;
  o.compress.block = 32;
  o.eval.eval_epochs = 5;
  return {.quick = options.quick,
          .runs = options.runs,
          .seed = seed,
          .base = o,
          .data = OpenTrainingData(o.data, seed)};
}

std::string Setting::Key() const {
  return fmt::format("{} {} {} {} {} {} {}", quick, base.data.path.value_or("").string(),
                     base.run.epochs, base.data.train_limit, base.data.batch, base.model.arch,
                     data->train_size());
}

Training TrainingOf(const Setting& setting, const Method& method, double ratio, double rate) {
  Training training{"", setting.base};
  training.options.optim.algo = method.algo;
  training.options.optim.impl = method.impl;
  training.options.schedule.lr = rate;
  const bool dense = method.algo == AlgorithmKind::kSgd;
  training.options.compress.ratio = dense ? 1 : ratio;
  training.name = dense ? fmt::format("{}, rate {:g}", method.name, rate)
                        : fmt::format("{}, ratio {:g}, rate {:g}", method.name, ratio, rate);
  return training;
}

bool Fits(const Method& method, double ratio) {
  return method.algo != AlgorithmKind::kCser || ratio <= 512;
}

Training Varied(Training training, const std::string& what) {
  training.name += ", " + what;
  return training;
}

std::vector<run::Case> CasesOf(const Setting& setting, const std::vector<Training>& trainings) {
  std::vector<run::Case> cases;
  // Seeds outermost: a stopped run has whole comparisons of fewer seeds.
  for (int64_t s = 0; s < setting.runs; ++s) {
    const uint64_t seed = setting.seed + static_cast<uint64_t>(s);
    for (const Training& training : trainings) {
      cases.push_back({CaseName(training, seed), [&setting, options = training.options, seed] {
                         return RunTraining(options, *setting.data, seed);
                       }});
    }
  }
  return cases;
}

Outcome OutcomeOf(const Setting& setting, const run::CaseResults& results,
                  const Training& training) {
  Outcome outcome;
  std::vector<double> accuracies, drifts;
  for (int64_t s = 0; s < setting.runs; ++s) {
    const uint64_t seed = setting.seed + static_cast<uint64_t>(s);
    const std::string name = CaseName(training, seed);
    accuracies.push_back(AccuracyOf(results, training, seed));
    ++outcome.runs;
    if (results.At(name, kDiverged) > 0) {
      ++outcome.diverged;
      continue;
    }
    drifts.push_back(results.At(name, "drift"));
    outcome.ratio = results.At(name, "ratio");
    outcome.bytes = results.At(name, "bytes_sent");
  }
  outcome.accuracy = run::MeanOf(accuracies);
  outcome.drift =
      drifts.empty() ? run::Single(std::numeric_limits<double>::quiet_NaN()) : run::MeanOf(drifts);
  return outcome;
}

run::Estimate Difference(const Setting& setting, const run::CaseResults& results, const Training& a,
                         const Training& b) {
  std::vector<double> differences;
  for (int64_t s = 0; s < setting.runs; ++s) {
    const uint64_t seed = setting.seed + static_cast<uint64_t>(s);
    differences.push_back(AccuracyOf(results, a, seed) - AccuracyOf(results, b, seed));
  }
  return run::MeanOf(differences);
}

run::Cell AccuracyCell(const Outcome& o) {
  std::string text = fmt::format("{:.1f}", o.accuracy.mean);
  if (o.runs > 1) text += fmt::format(" ± {:.1f}", (o.accuracy.high - o.accuracy.low) / 2);
  if (o.diverged > 0) text += fmt::format(", {} of {} diverged", o.diverged, o.runs);
  return run::Cell::Shown(text, o.accuracy.mean);
}

}  // namespace orchard::sync::repro
