// E1: is the template used? Four shapes are in every image, alike but for their form, and the
// template marks one of them. Without it nobody can know which one is meant.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "segment/phantom/phantom.h"
#include "segment/predictor.h"
#include "segment/repro/experiments.h"
#include "segment/repro/slices.h"
#include "segment/template_network.h"
#include "segment/train.h"

namespace orchard::segment::repro {
namespace {

constexpr int64_t kSide = 96;
constexpr double kMinutes = 10;  // at most

struct Episodes {
  int64_t training = 64, test = 24;
};
Episodes Counts(const Setting& setting) {
  return setting.options.quick ? Episodes{12, 4} : Episodes{};
}

// Subject n with each of its shapes as the only class.
std::vector<PreparedCase> SubjectCases(uint64_t seed, int64_t n) {
  const Phantom phantom = MakeEpisode(kSide, seed, static_cast<uint64_t>(n));
  std::vector<PreparedCase> cases;
  for (int64_t shape = 1; shape <= kEpisodeShapes; ++shape) {
    cases.push_back(AsCase(phantom, fmt::format("{} shape {}", n, shape), std::to_string(n), 1,
                           static_cast<uint8_t>(shape)));
    cases.back().group = std::to_string(shape);
  }
  return cases;
}

// Dice of what a template of each shape marks in the test images: with that shape, and with the
// others.
run::Numbers Test(const Setting& setting, const TemplateNetwork& network,
                  const std::vector<PreparedCase>& examples, uint64_t seed) {
  ThreadPool pool(setting.threads);
  InferenceOptions options;
  double own = 0, other = 0;
  int64_t own_count = 0, other_count = 0;
  for (int64_t shape = 0; shape < kEpisodeShapes; ++shape) {
    TemplateBank bank;
    bank.cases = {examples[static_cast<size_t>(shape)]};
    bank.scores = {0};
    Predictor predictor(network, bank, options, seed, pool);
    for (int64_t n = 0; n < Counts(setting).test; ++n) {
      const std::vector<PreparedCase> truth = SubjectCases(seed, Counts(setting).training + 1 + n);
      const std::vector<uint8_t> found =
          predictor.Segment(truth.front().image, truth.front().subject).labels;
      for (int64_t s = 0; s < kEpisodeShapes; ++s) {
        const double dice = DiceScores(found, truth[static_cast<size_t>(s)].labels, 1).front();
        (s == shape ? own : other) += dice;
        ++(s == shape ? own_count : other_count);
      }
    }
  }
  return {{"dice", own / static_cast<double>(own_count)},
          {"others", other / static_cast<double>(other_count)}};
}

run::Numbers Train(const Setting& setting, bool with_template, uint64_t seed) {
  std::vector<PreparedCase> cases;
  for (int64_t n = 0; n < Counts(setting).training; ++n) {
    for (PreparedCase& c : SubjectCases(seed, n)) cases.push_back(std::move(c));
  }
  // The template of the tests is of a subject that was not trained on.
  const std::vector<PreparedCase> examples = SubjectCases(seed, Counts(setting).training);
  SegmentTrainOptions options = SliceOptions(std::min(kMinutes, setting.minutes()));
  options.sampling.p_near = 0;
  if (!with_template) options.model.attention = AttentionKind::kOff;
  run::Numbers numbers;
  const SegmentTrainResult result =
      TrainOnCases(options, {.seed = seed, .threads = setting.threads, .progress = false},
                   std::move(cases), SlicePlan("episodes", kSide, 1, setting.options.quick),
                   [&](const TemplateNetwork& network, const TemplateBank&) {
                     numbers = Test(setting, network, examples, seed);
                   });
  numbers["steps"] = static_cast<double>(result.steps);
  return numbers;
}

std::string CaseName(const Setting& setting, bool with_template, uint64_t seed) {
  return fmt::format("episodes, {}, {:g} min, seed {}", with_template ? "template" : "U-Net",
                     std::min(kMinutes, setting.minutes()), seed);
}

}  // namespace

std::vector<run::Case> EpisodesCases(const Setting& setting) {
  return PairedCases(
      setting, [&](bool with, uint64_t seed) { return CaseName(setting, with, seed); },
      [&setting](bool with, uint64_t seed) { return Train(setting, with, seed); });
}

run::ExperimentResult EpisodesResult(const Setting& setting, const run::CaseResults& results) {
  run::ExperimentResult result;
  result.claim =
      "A template that marks one of four shapes makes the network find that shape; without one "
      "the best guess is none of them, or all with a Dice of 0.4.";
  const auto mean = [&](bool with, const char* key) {
    std::vector<double> values;
    for (int64_t s = 0; s < setting.options.seeds; ++s)
      values.push_back(
          results.At(CaseName(setting, with, setting.seed + static_cast<uint64_t>(s)), key));
    return run::MeanOf(values);
  };
  const auto at_least = [](double limit) {
    return run::Expectation{run::Relation::kAtLeast, limit, false};
  };
  result.measurements = {
      {"Dice with a template", "", mean(true, "dice"), at_least(0.85)},
      {"Dice with the shapes that the template does not mark", "", mean(true, "others"), {}},
      {"Dice of the U-Net", "", mean(false, "dice"),
       run::Expectation{run::Relation::kAtMost, 0.45, false}}};
  result.notes.push_back(fmt::format(
      "{} images of {}x{} to train, {} to test, one new subject as the template of all tests: only "
      "its marks change from one shape to the next, so the Dice with a template is also that "
      "after marks were exchanged. {:.0f} steps with a template, {:.0f} without.",
      Counts(setting).training, kSide, kSide, Counts(setting).test, mean(true, "steps").mean,
      mean(false, "steps").mean));
  return result;
}

}  // namespace orchard::segment::repro
