// E2: does the template's shape help where the image shows nothing? Organs of six families, whose
// border is invisible within a quarter of the circle.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "segment/phantom/phantom.h"
#include "segment/predictor.h"
#include "segment/repro/experiments.h"
#include "segment/repro/slices.h"
#include "segment/template_network.h"
#include "segment/train.h"

namespace orchard::segment::repro {
namespace {

constexpr int64_t kSide = 96, kClasses = 2;
constexpr double kMinutes = 10;  // at most

struct Subjects {
  int64_t training = 60, test = 36;
};
Subjects Counts(const Setting& setting) {
  return setting.options.quick ? Subjects{12, 6} : Subjects{};
}

PreparedCase Organ(uint64_t seed, int64_t n, Phantom& phantom) {
  phantom = MakeOrgan(kSide, seed, static_cast<uint64_t>(n), true);
  PreparedCase c = AsCase(phantom, std::to_string(n), std::to_string(n), kClasses);
  c.group = std::to_string(phantom.family);
  return c;
}

// Means over the test images.
struct Scores {
  double whole = 0, wedge = 0, hd95 = 0;
  int64_t count = 0;

  void Add(const std::vector<uint8_t>& found, const PreparedCase& c, const Phantom& phantom,
           ThreadPool& pool) {
    std::vector<uint8_t> f = found, t = c.labels;
    const std::vector<uint16_t> wide_f(f.begin(), f.end()), wide_t(t.begin(), t.end());
    const std::vector<volume::Region> organ = {{"organ", {1, 2}}};
    whole += Mean(DiceScores(f, t, kClasses));
    hd95 += volume::CompareLabels(wide_f, wide_t, c.image.size, {1, 1, 1}, organ, {}, pool)
                .front()
                .hd95;
    for (size_t v = 0; v < f.size(); ++v) {
      if (phantom.wedge[v] == 0) f[v] = t[v] = 0;
    }
    wedge += Mean(DiceScores(f, t, kClasses));
    ++count;
  }
  void Keep(run::Numbers& numbers, const std::string& name) const {
    const auto n = static_cast<double>(count);
    numbers[name + " dice"] = whole / n;
    numbers[name + " wedge"] = wedge / n;
    numbers[name + " hd95"] = hd95 / n;
  }

 private:
  static double Mean(const std::vector<double>& values) {
    double sum = 0, count = 0;
    for (const double v : values) {
      if (std::isnan(v)) continue;
      sum += v;
      ++count;
    }
    return sum / count;
  }
};

run::Numbers Test(const Setting& setting, const TemplateNetwork& network, const TemplateBank& bank,
                  uint64_t seed) {
  ThreadPool pool(setting.threads);
  std::vector<TemplateBank> families(kFamilies);
  for (const PreparedCase& c : bank.cases) {
    TemplateBank& family = families[static_cast<size_t>(std::stoll(c.group))];
    family.cases.push_back(c);
    family.scores.push_back(0);
  }
  InferenceOptions options;
  options.select = TemplateSelect::kNearest;
  Scores own, wrong;
  for (int64_t n = 0; n < Counts(setting).test; ++n) {
    Phantom phantom;
    const PreparedCase c = Organ(seed, Counts(setting).training + n, phantom);
    const auto family = static_cast<size_t>(phantom.family);
    Predictor right(network, families[family], options, seed, pool);
    own.Add(right.Segment(c.image, c.subject).labels, c, phantom, pool);
    if (!network.uses_template()) continue;
    Predictor other(network, families[(family + 1) % kFamilies], options, seed, pool);
    wrong.Add(other.Segment(c.image, c.subject).labels, c, phantom, pool);
  }
  run::Numbers numbers;
  own.Keep(numbers, "own");
  if (wrong.count > 0) wrong.Keep(numbers, "wrong");
  return numbers;
}

run::Numbers Train(const Setting& setting, bool with_template, uint64_t seed) {
  std::vector<PreparedCase> cases;
  for (int64_t n = 0; n < Counts(setting).training; ++n) {
    Phantom phantom;
    cases.push_back(Organ(seed, n, phantom));
  }
  SegmentTrainOptions options = SliceOptions(std::min(kMinutes, setting.minutes()));
  // A family's shape is its own: turned organs would be of none.
  options.augment.rotate = 0;
  if (!with_template) options.model.attention = AttentionKind::kOff;
  run::Numbers numbers;
  const SegmentTrainResult result = TrainOnCases(
      options, {.seed = seed, .threads = setting.threads, .progress = false}, std::move(cases),
      SlicePlan("population", kSide, kClasses, setting.options.quick),
      [&](const TemplateNetwork& network, const TemplateBank& bank) {
        numbers = Test(setting, network, bank, seed);
      });
  numbers["steps"] = static_cast<double>(result.steps);
  return numbers;
}

std::string CaseName(const Setting& setting, bool with_template, uint64_t seed) {
  return fmt::format("population, {}, {:g} min, seed {}", with_template ? "template" : "U-Net",
                     std::min(kMinutes, setting.minutes()), seed);
}

}  // namespace

std::vector<run::Case> PopulationCases(const Setting& setting) {
  return PairedCases(
      setting, [&](bool with, uint64_t seed) { return CaseName(setting, with, seed); },
      [&setting](bool with, uint64_t seed) { return Train(setting, with, seed); });
}

run::ExperimentResult PopulationResult(const Setting& setting, const run::CaseResults& results) {
  run::ExperimentResult result;
  result.claim =
      "Where the border is invisible, a template of the same family of shapes helps: Dice within "
      "the sector 0.02 above the U-Net's, HD95 15 % lower; one of another family does not.";
  // By how much `key` of the network with a template is above `other_key` of the U-Net.
  const auto each = [&](const std::function<double(const std::string&, const std::string&)>& of) {
    std::vector<double> values;
    for (int64_t s = 0; s < setting.options.seeds; ++s) {
      const uint64_t seed = setting.seed + static_cast<uint64_t>(s);
      values.push_back(of(CaseName(setting, true, seed), CaseName(setting, false, seed)));
    }
    return run::MeanOf(values);
  };
  const auto above = [&](const char* key) {
    return each([&](const std::string& with, const std::string& without) {
      return results.At(with, key) - results.At(without, "own wedge");
    });
  };
  const run::Estimate lower = each([&](const std::string& with, const std::string& without) {
    return 100 * (1 - results.At(with, "own hd95") / results.At(without, "own hd95"));
  });
  result.measurements = {
      {"Dice in the sector above the U-Net's", "", above("own wedge"),
       run::Expectation{run::Relation::kAtLeast, 0.02, false}},
      {"HD95 below the U-Net's", "%", lower, run::Expectation{run::Relation::kAtLeast, 15, false}},
      {"the same Dice with a template of another family", "", above("wrong wedge"),
       run::Expectation{run::Relation::kAtMost, 0, false}}};
  run::Table table{.caption = fmt::format("{} test images, means of {} seeds", Counts(setting).test,
                                          setting.options.seeds),
                   .columns = {"method", "Dice", "Dice in the sector", "HD95 (voxels)"}};
  const auto row = [&](const char* name, bool with, const std::string& key) {
    std::vector<run::Cell> cells = {name};
    for (const char* what : {" dice", " wedge", " hd95"}) {
      cells.emplace_back(each([&](const std::string& t, const std::string& u) {
                           return results.At(with ? t : u, key + what);
                         }).mean,
                         4);
    }
    table.rows.push_back(std::move(cells));
  };
  row("template of the same family", true, "own");
  row("template of another family", true, "wrong");
  row("U-Net", false, "own");
  result.tables.push_back(std::move(table));
  result.notes.push_back(
      "Border contrast is missing in the training images, too, and noise has half the rim's "
      "brightness everywhere: the question is what the template adds, not how a network stands "
      "images of another kind.");
  return result;
}

}  // namespace orchard::segment::repro
