// R3: LEMON's claim about training. An expanded model starts at its source's loss, keeps the peak
// learning rate of training from scratch, and with it reaches what the model from scratch reaches
// in a fraction of the steps. Source: LEMON, sec. 4; the tiny models are ours.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "base/error.h"
#include "base/number_format.h"
#include "expand/repro/experiments.h"
#include "expand/repro/kept_trainings.h"
#include "expand/repro/schedule_runs.h"
#include "run/shard.h"

namespace orchard::expand::repro {
namespace {

constexpr double kStepZeroBound = 1e-4;  // nat
constexpr double kMargin = 0.01;         // nat
constexpr int64_t kQuickSteps = 120;

// Which runs, over all seeds.
struct Condition {
  Start start = Start::kScratch;
  Method method = Method::kRandom;
  double horizon = 1, rate = 1;
};

class Results {
 public:
  Results(std::vector<ScheduleRun> runs, std::vector<RunOutcome> outcomes,
          std::vector<int64_t> seeds)
      : runs_(std::move(runs)), outcomes_(std::move(outcomes)), seeds_(std::move(seeds)) {}

  // One outcome for each seed.
  std::vector<const RunOutcome*> Of(const Condition& condition) const {
    std::vector<const RunOutcome*> found;
    for (int64_t seed : seeds_) {
      for (size_t i = 0; i < runs_.size(); ++i) {
        const ScheduleRun& r = runs_[i];
        const bool same = r.start == condition.start && r.horizon == condition.horizon &&
                          r.rate == condition.rate && r.seed_index == seed &&
                          (r.start != Start::kExpanded || r.method == condition.method);
        if (same) found.push_back(&outcomes_[i]);
      }
    }
    return found;
  }

  // Validation loss at the end, nats; not a number for a run that diverged.
  std::vector<double> Final(const Condition& condition) const {
    std::vector<double> losses;
    for (const RunOutcome* outcome : Of(condition)) {
      losses.push_back(outcome->diverged ? std::numeric_limits<double>::quiet_NaN()
                                         : outcome->valid_loss.last());
    }
    return losses;
  }

  // Validation loss before the first step minus the source's at its end.
  std::vector<double> Gap(const Condition& condition) const {
    std::vector<double> gaps;
    const auto sources = Of({.start = Start::kSource});
    const auto grown = Of(condition);
    for (size_t s = 0; s < grown.size(); ++s) {
      gaps.push_back(grown[s]->valid_loss.values.front() - sources[s]->valid_loss.last());
    }
    return gaps;
  }

  // The learning rate at which a condition's runs end lowest.
  double BestRate(Condition condition) const {
    double best = 1, lowest = std::numeric_limits<double>::infinity();
    for (double rate : kRateFactors) {
      condition.rate = rate;
      const double loss = MeanOf(Final(condition)).mean;
      if (loss < lowest) {  // never where a run diverged
        lowest = loss;
        best = rate;
      }
    }
    return best;
  }

  double seconds() const {
    double sum = 0;
    for (const RunOutcome& outcome : outcomes_) sum += outcome.seconds;
    return sum;
  }

  int64_t StepsOf(const Condition& condition) const {
    for (const ScheduleRun& r : runs_) {
      if (r.start == condition.start && r.horizon == condition.horizon &&
          (r.start != Start::kExpanded || r.method == condition.method)) {
        return r.request.options.sched.steps;
      }
    }
    return 0;
  }

 private:
  std::vector<ScheduleRun> runs_;
  std::vector<RunOutcome> outcomes_;
  std::vector<int64_t> seeds_;
};

Condition Lemon(double horizon, double rate = 1) {
  return {Start::kExpanded, Method::kLemon, horizon, rate};
}
Condition Baseline(Method method, double rate = 1) {
  return {Start::kExpanded, method, kHorizons[0], rate};
}
Condition Scratch(double rate = 1) { return {Start::kScratch, Method::kRandom, 1, rate}; }

constexpr Method kMethods[] = {Method::kLemon,     Method::kFpi,          Method::kAki,
                               Method::kStackBert, Method::kHyperCloning, Method::kRandom};

std::vector<double> Difference(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> difference;
  for (size_t i = 0; i < a.size(); ++i) difference.push_back(a[i] - b[i]);
  return difference;
}

double LargestSize(const std::vector<double>& values) {
  double largest = 0;
  for (double value : values) largest = std::max(largest, std::fabs(value));
  return largest;
}

void AddStepZero(const Results& results, ExperimentResult& result) {
  double largest = 0;
  for (double horizon : kHorizons) {
    largest = std::max(largest, LargestSize(results.Gap(Lemon(horizon))));
  }
  result.measurements.push_back({"LEMON: loss before the first step minus its source's, largest",
                                 "nat", Single(largest),
                                 Expectation{Relation::kAtMost, kStepZeroBound}});
  for (Method method : kMethods) {
    if (method == Method::kLemon) continue;
    const std::vector<double> gaps = results.Gap(Baseline(method));
    Measurement m{fmt::format("{}: loss before the first step minus its source's", Name(method)),
                  "nat", MeanOf(gaps)};
    // Whole copies keep the loss as well; what hypercloning lacks is different copies (R2).
    if (method != Method::kHyperCloning) {
      m.expected = Expectation{Relation::kAtLeast, kStepZeroBound, false};
    }
    result.measurements.push_back(m);
  }
}

void AddClaims(const Results& results, ExperimentResult& result) {
  const std::vector<double> scratch = results.Final(Scratch());
  result.measurements.push_back(
      {fmt::format("LEMON at {} of the steps minus scratch, final loss", kHorizons[0]), "nat",
       MeanOf(Difference(results.Final(Lemon(kHorizons[0])), scratch)),
       Expectation{Relation::kAtMost, kMargin, false}});
  const double scratch_rate = results.BestRate(Scratch());
  const double lemon_rate = results.BestRate(Lemon(kHorizons[0]));
  result.measurements.push_back(
      {fmt::format("the same, each at its best peak ({} and {})", lemon_rate, scratch_rate), "nat",
       MeanOf(Difference(results.Final(Lemon(kHorizons[0], lemon_rate)),
                         results.Final(Scratch(scratch_rate))))});
  for (double horizon : kHorizons) {
    result.measurements.push_back(
        {fmt::format("LEMON at {} of the steps: peak times 0.1 minus peak", horizon), "nat",
         MeanOf(Difference(results.Final(Lemon(horizon, 0.1)), results.Final(Lemon(horizon)))),
         Expectation{Relation::kAtLeast, 0, false}});
  }
  for (Method method : kMethods) {
    if (method == Method::kLemon) continue;
    const double rate = results.BestRate(Baseline(method));
    result.measurements.push_back(
        {fmt::format("{} minus LEMON, final loss, equal FLOPs, best peaks", Name(method)), "nat",
         MeanOf(Difference(results.Final(Baseline(method, rate)),
                           results.Final(Lemon(kHorizons[0], lemon_rate))))});
  }
}

// 1 - crossing / T for every seed: where LEMON's first run to do so passes the final loss of the
// run from scratch. A seed where none does saves nothing.
struct Savings {
  std::vector<double> large_model, with_source;
  int64_t reached = 0;
};

Savings FindSavings(const Results& results, const ScheduleSetting& setting,
                    const Condition& scratch, std::span<const double> lemon_rates) {
  const ScheduleTier& tier = setting.tier;
  const double source_share = StepFlops(tier, tier.source) / StepFlops(tier, tier.target);
  const std::vector<double> levels = results.Final(scratch);
  Savings savings;
  for (size_t seed = 0; seed < levels.size(); ++seed) {
    std::optional<double> first;
    for (double rate : lemon_rates) {
      for (double horizon : kHorizons) {
        if (!IsTried(horizon, rate)) continue;
        const RunOutcome* run = results.Of(Lemon(horizon, rate))[seed];
        const auto crossing = run->valid_loss.Crossing(levels[seed]);
        if (crossing && (!first || *crossing < *first)) first = crossing;
      }
    }
    savings.reached += first ? 1 : 0;
    const double part = first ? *first / static_cast<double>(setting.steps) : 1;
    savings.large_model.push_back(1 - part);
    savings.with_source.push_back(1 - part - source_share);
  }
  return savings;
}

void AddSavings(const Results& results, const ScheduleSetting& setting, ExperimentResult& result) {
  constexpr double kSamePeak[] = {1};
  const Savings same = FindSavings(results, setting, Scratch(), kSamePeak);
  result.measurements.push_back({"saving: 1 - LEMON's steps to scratch's final loss / scratch's",
                                 "", MeanOf(same.large_model)});
  result.measurements.push_back(
      {"the same, with the FLOPs of training the source counted", "", MeanOf(same.with_source)});
  const Savings best =
      FindSavings(results, setting, Scratch(results.BestRate(Scratch())), kRateFactors);
  result.measurements.push_back(
      {"saving against scratch at its best peak, LEMON at any", "", MeanOf(best.large_model)});
  result.measurements.push_back(
      {"the same, with the FLOPs of training the source counted", "", MeanOf(best.with_source)});
  result.measurements.push_back({"seeds that reached scratch's final loss, same peak", "",
                                 Single(static_cast<double>(same.reached))});
}

run::Cell LossCell(const std::vector<double>& losses) {
  const Estimate e = MeanOf(losses);
  return run::Cell::Shown(e.runs > 1 ? fmt::format("{:.4f} [{:.4f}, {:.4f}]", e.mean, e.low, e.high)
                                     : fmt::format("{:.4f}", e.mean),
                          e.mean);
}

run::Table FinalTable(const Results& results) {
  run::Table table{.caption = "Validation loss at the end (nat), mean and 95 % interval"};
  table.columns = {"Start", "Part of the steps", "Steps"};
  for (double rate : kRateFactors) table.columns.push_back(fmt::format("peak x {}", rate));
  const auto add = [&](const std::string& label, Condition condition) {
    std::vector<run::Cell> row = {label, run::Cell(condition.horizon),
                                  run::Cell(results.StepsOf(condition))};
    for (double rate : kRateFactors) {
      condition.rate = rate;
      const std::vector<double> losses = results.Final(condition);
      row.push_back(losses.empty() ? run::Cell("-") : LossCell(losses));
    }
    table.rows.push_back(row);
  };
  add("scratch", Scratch());
  for (double horizon : kHorizons) add("LEMON", Lemon(horizon));
  for (Method method : kMethods) {
    if (method != Method::kLemon) add(Name(method), Baseline(method));
  }
  return table;
}

// Mean validation loss over the seeds, with its interval. Runs that diverged leave gaps.
run::Series LossSeries(const Results& results, const Condition& condition, std::string name) {
  run::Series series{.name = std::move(name)};
  const auto outcomes = results.Of(condition);
  for (size_t i = 0; i < outcomes.front()->valid_loss.steps.size(); ++i) {
    std::vector<double> values;
    for (const RunOutcome* o : outcomes) {
      if (i < o->valid_loss.values.size()) values.push_back(o->valid_loss.values[i]);
    }
    const Estimate e = MeanOf(values);
    series.x.push_back(outcomes.front()->valid_loss.steps[i]);
    series.y.push_back(e.mean);
    series.low.push_back(e.low);
    series.high.push_back(e.high);
  }
  return series;
}

void AddCharts(const Results& results, ExperimentResult& result) {
  run::Chart lemon{.title = "Validation loss: LEMON against training from scratch, same peak",
                   .x = {.title = "step"},
                   .y = {.title = "loss", .unit = "nat"}};
  lemon.series.push_back(LossSeries(results, Scratch(), "scratch"));
  for (double horizon : kHorizons) {
    lemon.series.push_back(
        LossSeries(results, Lemon(horizon), fmt::format("LEMON, {} of the steps", horizon)));
  }
  run::Chart methods{
      .title = "Validation loss on the short schedule, every method at its best peak",
      .x = {.title = "step"},
      .y = {.title = "loss", .unit = "nat"}};
  for (Method method : kMethods) {
    const double rate = results.BestRate(Baseline(method));
    methods.series.push_back(LossSeries(results, Baseline(method, rate),
                                        fmt::format("{}, peak x {}", Name(method), rate)));
  }
  result.charts = {lemon, methods};
}

// The seeds of the i-th of n array tasks.
std::vector<int64_t> SeedsOfShard(const ReproOptions& options, int64_t runs, bool& all) {
  const run::Shard shard = run::ParseShard(options.shard, "--shard");
  all = shard.count == 1;
  if (!all && options.trainings.empty()) {
    throw UsageError("a shard leaves its trainings for the others", "--trainings",
                     "name a folder that all shards share");
  }
  std::vector<int64_t> seeds;
  for (int64_t seed = 0; seed < runs; ++seed) {
    if (shard.Takes(seed)) seeds.push_back(seed);
  }
  return seeds;
}

ScheduleSetting Setting(const ReproOptions& options, const Surroundings& surroundings) {
  ScheduleSetting setting{.tier = FindTier(options.tier), .seed = surroundings.seed};
  setting.steps = options.steps > 0 ? options.steps
                  : options.quick   ? kQuickSteps
                                    : setting.tier.steps;
  setting.characters = options.quick ? 300'000 : 3'000'000;
  if (options.quick) {
    setting.evaluations = 12;
    setting.evaluated_batches = 4;
  }
  return setting;
}

void AddNotes(const ScheduleSetting& setting, const Results& results, ExperimentResult& result) {
  const ScheduleTier& t = setting.tier;
  const auto size = [](const ModelSize& m) {
    return fmt::format("L{} D{} H{}", m.layers, m.hidden, m.heads);
  };
  result.notes.push_back(fmt::format(
      "GPT-2 shapes, bytes of the grammar corpus ({} characters), context {}, batch {}, AdamW with "
      "weight decay 0.01, peak {}, warm-up of {} steps, cosine to 0, no dropout. Source {} trained "
      "for {} steps; target {}; hypercloning, which makes whole copies only, goes to {} with fewer "
      "steps of the same total FLOPs.",
      FormatCount(static_cast<double>(setting.characters)), t.block, t.batch, kPeakLearningRate,
      std::llround(0.05 * static_cast<double>(setting.steps)), size(t.source), setting.steps,
      size(t.target), size(t.multiple)));
  result.notes.push_back(
      "Every method, and training from scratch, is tried with the same peaks; comparisons between "
      "methods take each at its best. All runs of a seed see the same batches in the same order "
      "and "
      "the same validation text. The saving counts the large model's steps alone, as the paper "
      "does; the line after it adds what the source cost.");
  result.notes.push_back(
      fmt::format("All trainings together took {:.0f} core-seconds.", results.seconds()));
}

}  // namespace

ExperimentResult ScheduleClaim(const ReproOptions& options, const Surroundings& surroundings) {
  ScheduleSetting setting = Setting(options, surroundings);
  bool all = true;
  const int64_t seeds = options.quick ? std::min<int64_t>(options.runs, 2) : options.runs;
  setting.seed_indices = SeedsOfShard(options, seeds, all);
  const KeptTrainings kept("R3", options, surroundings);
  setting.directory = kept.path();
  const std::vector<ScheduleRun> runs = ScheduleRuns(setting);
  std::vector<RunRequest> requests;
  for (const ScheduleRun& run : runs) requests.push_back(run.request);
  // Models of the CPU tier are too small for a GPU, and go faster without one.
  const std::string device = options.tier == Tier::kCpu ? "cpu" : surroundings.device;
  std::vector<RunOutcome> outcomes = TrainAll(requests, {.directory = setting.directory,
                                                         .threads = surroundings.threads,
                                                         .device = device,
                                                         .on_start = surroundings.step});
  ExperimentResult result;
  result.claim =
      "A model grown by LEMON starts at its source's loss and, at the peak learning rate of "
      "training "
      "from scratch, reaches the loss of the model from scratch on a shorter schedule.";
  if (!all) {
    result.measurements.push_back({"trainings of this shard that are finished", "",
                                   Single(static_cast<double>(outcomes.size()))});
    return result;
  }
  const Results results(runs, std::move(outcomes), setting.seed_indices);
  AddStepZero(results, result);
  AddClaims(results, result);
  AddSavings(results, setting, result);
  result.tables.push_back(FinalTable(results));
  AddCharts(results, result);
  AddNotes(setting, results, result);
  return result;
}

}  // namespace orchard::expand::repro
