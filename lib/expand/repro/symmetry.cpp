// R2: with an equal split and no noise, copies of a unit see the same inputs and the same gradients
// and stay copies for ever; LEMON's unequal split lets them learn different things. In f64, since
// AdamW divides by the root of squared gradients and so magnifies rounding differences.
// Source: LEMON, sec. 3.3.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "expand/repro/experiments.h"
#include "expand/repro/kept_trainings.h"
#include "expand/repro/small_model.h"
#include "expand/run_set.h"

namespace orchard::expand::repro {
namespace {

constexpr int64_t kSourceWidth = 64, kTargetWidth = 128;
// What stands for no divergence at all on a logarithmic axis, and below a ratio: less than rounding
// in f64.
constexpr double kNoDivergence = 1e-17;
constexpr double kEqualBound = 1e-6, kRatioBound = 1e3;

// The runs from one source.
struct Variant {
  const char* name;
  const char* label;
  Split split;
  Precision precision;
  double dropout;
};
constexpr Variant kVariants[] = {
    {"equal", "equal split, f64", Split::kEqual, Precision::kF64, 0},
    {"lemon", "LEMON, f64", Split::kGrid, Precision::kF64, 0},
    {"equal-f32", "equal split, f32", Split::kEqual, Precision::kF32, 0},
    {"equal-dropout", "equal split, f32, dropout 0.1", Split::kEqual, Precision::kF32, 0.1}};
enum VariantIndex { kEqual, kLemon, kEqualF32, kEqualDropout };

struct Lengths {
  int64_t source_steps, steps, batch, characters;
};

TrainOptions Training(const Lengths& lengths, int64_t steps, Precision precision) {
  TrainOptions o;
  o.model.hidden = kSourceWidth;
  o.model.layers = 3;
  o.model.heads = 4;
  o.model.dropout = 0;
  o.data.block = 64;
  o.data.characters = lengths.characters;
  o.data.tokenizer = "bytes";
  o.opt.lr = 1e-3;
  o.sched.steps = steps;
  o.sched.schedule.warmup = steps / 20;
  o.run.batch = lengths.batch;
  o.run.eval_every = std::max<int64_t>(1, steps / 20);
  o.run.eval_batches = 8;
  o.run.precision = precision;
  return o;
}

std::vector<RunRequest> Requests(const Lengths& lengths, const std::filesystem::path& directory,
                                 int64_t seeds, uint64_t first_seed) {
  std::vector<RunRequest> sources, grown;
  for (int64_t s = 0; s < seeds; ++s) {
    const uint64_t seed = first_seed + static_cast<uint64_t>(s);
    const std::string folder = fmt::format("seed{}/", s);
    sources.push_back({.name = folder + "source",
                       .options = Training(lengths, lengths.source_steps, Precision::kF32),
                       .seed = seed});
    for (const Variant& variant : kVariants) {
      RunRequest request{.name = folder + variant.name,
                         .options = Training(lengths, lengths.steps, variant.precision),
                         .seed = seed,
                         .after = sources.back().name};
      const std::filesystem::path source = directory / request.after / "final";
      const std::filesystem::path start = directory / (request.name + "-start");
      request.options.model.path = start;
      request.options.model.dropout = variant.dropout;
      request.prepare = [=, split = variant.split] {
        // Stored in f64: what rounding does must not depend on the storage of the start.
        const MethodOptions method{.split = split, .dtype = StoredType::kF64};
        Expand(source, start, {.hidden = kTargetWidth, .ffn = 4 * kTargetWidth}, method, seed);
      };
      grown.push_back(std::move(request));
    }
  }
  sources.insert(sources.end(), grown.begin(), grown.end());
  return sources;
}

// Mean training loss of the last tenth of the steps: a batch's own is noisy.
double FinalTrainingLoss(const RunOutcome& outcome) {
  const std::vector<double>& losses = outcome.loss.values;
  const size_t count = std::max<size_t>(1, losses.size() / 10);
  double sum = 0;
  for (size_t i = losses.size() - count; i < losses.size(); ++i) sum += losses[i];
  return sum / static_cast<double>(count);
}

double Largest(const Curve& curve) {
  return *std::max_element(curve.values.begin(), curve.values.end());
}
double Smallest(const Curve& curve) {
  return *std::min_element(curve.values.begin(), curve.values.end());
}

// Logarithmic axes have no zero: copies that are equal to the last bit are drawn at the bottom.
run::Series Drawn(const Curve& curve, const char* name, bool logarithmic) {
  run::Series series{.name = name, .x = curve.steps, .y = curve.values};
  if (logarithmic) {
    for (double& y : series.y) y = std::max(y, kNoDivergence);
  }
  return series;
}

void AddCharts(std::span<const RunOutcome> first_seed, ExperimentResult& result) {
  run::Chart divergence{.title = "Copy divergence (first seed)",
                        .x = {.title = "step"},
                        .y = {.title = "mean |u - u'| / |u|", .logarithmic = true}};
  run::Chart valid{.title = "Validation loss (first seed)",
                   .x = {.title = "step"},
                   .y = {.title = "loss", .unit = "nat"}};
  for (size_t v = 0; v < std::size(kVariants); ++v) {
    divergence.series.push_back(Drawn(first_seed[v].divergence, kVariants[v].label, true));
    valid.series.push_back(Drawn(first_seed[v].valid_loss, kVariants[v].label, false));
  }
  divergence.caption = "Zero is drawn as 1e-17.";
  result.charts = {divergence, valid};
}

struct Numbers {
  std::vector<double> equal, lemon, ratio, growth, equal_f32, equal_dropout, loss, valid;
};

void Collect(std::span<const RunOutcome> runs, Numbers& n) {
  const Curve& equal = runs[kEqual].divergence;
  const Curve& lemon = runs[kLemon].divergence;
  if (equal.values.empty() || lemon.values.empty()) {
    throw Error(ExitCode::kInternal, "training measured no copy divergence");
  }
  n.equal.push_back(Largest(equal));
  n.lemon.push_back(lemon.last());
  n.ratio.push_back(Smallest(lemon) / std::max(Largest(equal), kNoDivergence));
  n.growth.push_back(lemon.last() / lemon.values.front());
  n.equal_f32.push_back(Largest(runs[kEqualF32].divergence));
  n.equal_dropout.push_back(Largest(runs[kEqualDropout].divergence));
  n.loss.push_back(FinalTrainingLoss(runs[kLemon]) - FinalTrainingLoss(runs[kEqual]));
  n.valid.push_back(runs[kLemon].valid_loss.last() - runs[kEqual].valid_loss.last());
}

void AddMeasurements(const Numbers& n, ExperimentResult& result) {
  const auto largest = [](const std::vector<double>& v) {
    return *std::max_element(v.begin(), v.end());
  };
  const auto smallest = [](const std::vector<double>& v) {
    return *std::min_element(v.begin(), v.end());
  };
  result.measurements = {
      {"equal split, f64: largest copy divergence of any step and seed", "",
       Single(largest(n.equal)), Expectation{Relation::kAtMost, kEqualBound}},
      {"LEMON's smallest over the equal split's largest", "", Single(smallest(n.ratio)),
       Expectation{Relation::kAtLeast, kRatioBound}},
      {"LEMON: copy divergence at the end", "", MeanOf(n.lemon)},
      {"LEMON: copy divergence at the end over that at the start", "", MeanOf(n.growth),
       Expectation{Relation::kAtLeast, 1, false}},
      {"training loss, last tenth of the steps: LEMON minus equal", "nat", MeanOf(n.loss),
       Expectation{Relation::kAtMost, 0, false}},
      {"validation loss at the end: LEMON minus equal", "nat", MeanOf(n.valid)},
      {"equal split, f32: largest copy divergence", "", Single(largest(n.equal_f32))},
      {"equal split, f32, dropout 0.1: largest copy divergence", "",
       Single(largest(n.equal_dropout))}};
}

}  // namespace

ExperimentResult Symmetry(const ReproOptions& options, const Surroundings& surroundings) {
  Lengths lengths =
      options.quick ? Lengths{300, 300, 4, 300'000} : Lengths{1000, 1000, 8, 3'000'000};
  if (options.steps > 0) lengths.source_steps = lengths.steps = options.steps;
  const int64_t seeds = options.quick ? std::min<int64_t>(options.runs, 2) : options.runs;
  const KeptTrainings kept("R2", options, surroundings);
  const std::vector<RunOutcome> outcomes = TrainAll(
      Requests(lengths, kept.path(), seeds, surroundings.seed),
      {.directory = kept.path(), .threads = surroundings.threads, .on_start = surroundings.step});
  const std::span<const RunOutcome> grown = std::span(outcomes).subspan(seeds);
  Numbers numbers;
  for (int64_t s = 0; s < seeds; ++s) {
    Collect(grown.subspan(s * std::size(kVariants), std::size(kVariants)), numbers);
  }
  ExperimentResult result;
  result.claim =
      "Copies made by an equal split stay copies however long they train; LEMON's grow apart, and "
      "the model learns more.";
  AddMeasurements(numbers, result);
  AddCharts(grown.first(std::size(kVariants)), result);
  result.notes.push_back(fmt::format(
      "Pre-LN GPT-2, 3 layers, 4 heads, width {} to {}; source trained for {} steps and targets "
      "for "
      "{}, batch {} of 64 bytes of the grammar corpus, AdamW with peak 1e-3, no dropout. The equal "
      "split is exact, too: both start at the source's loss. What can break the symmetry of "
      "equal copies is sums in another order (f32 shows most of it) and dropout, whose masks "
      "differ "
      "for the copies: those runs are shown for it.",
      kSourceWidth, kTargetWidth, lengths.source_steps, lengths.steps, lengths.batch));
  return result;
}

}  // namespace orchard::expand::repro
