#include "segment/quality.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "base/clock.h"
#include "segment/predictor.h"

namespace orchard::segment {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// The same image as a scan of its own at the plan's spacing, so that labels come out there.
PreparedImage AtPlanSpacing(const PreparedImage& prepared, const Plan& plan) {
  PreparedImage image = prepared;
  image.frame.whole = image.size;
  image.frame.crop = {{0, 0, 0}, image.size};
  image.frame.spacing = plan.spacing;
  return image;
}

double MeanOf(const std::vector<double>& values) {
  double sum = 0;
  int64_t count = 0;
  for (const double v : values) {
    if (std::isnan(v)) continue;
    sum += v;
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : kNone;
}

// What each witness sees, alone.
std::vector<std::vector<uint8_t>> Witness(Predictor& predictor, const PreparedImage& image,
                                          std::span<const size_t> templates) {
  std::vector<std::vector<uint8_t>> seen;
  for (const size_t t : templates) {
    const std::array<size_t, 1> alone = {t};
    seen.push_back(predictor.Segment(image, alone).labels);
  }
  return seen;
}

void FindDisagreement(const std::vector<std::vector<uint8_t>>& seen, CaseQuality& quality) {
  const size_t voxels = seen.front().size();
  quality.disagreement.assign(voxels, 0);
  double sum = 0;
  int64_t counted = 0;
  for (size_t i = 0; i < voxels; ++i) {
    std::array<int, 256> votes{};
    bool any = false;
    for (const auto& labels : seen) {
      ++votes[labels[i]];
      any = any || labels[i] > 0;
    }
    if (!any) continue;
    const int most = *std::max_element(votes.begin(), votes.end());
    quality.disagreement[i] = 1 - static_cast<float>(most) / static_cast<float>(seen.size());
    sum += static_cast<double>(quality.disagreement[i]);
    ++counted;
  }
  quality.mean_disagreement = counted > 0 ? sum / static_cast<double>(counted) : 0;
}

}  // namespace

bool CaseQuality::flagged() const {
  return std::any_of(classes.begin(), classes.end(),
                     [](const ClassQuality& c) { return c.flagged; });
}

CaseQuality AssessQuality(const TemplateNetwork& network, const TemplateBank& bank,
                          const InferenceOptions& infer, const QualityOptions& options,
                          PreparedCase c, uint64_t seed, ThreadPool& pool) {
  const double begin = SecondsNow();
  const int64_t classes = bank.classes();
  IndexCase(c, classes);
  CaseQuality quality{.id = c.id};
  InferenceOptions forward = infer;
  forward.tta.clear();

  const auto nearest = [&](int64_t count) {
    return ChooseTemplates(bank.cases, bank.scores, {TemplateSelect::kNearest, count, "", seed},
                           c.thumbnail, c.subject);
  };
  const std::vector<size_t> witnesses = nearest(options.witnesses);
  Predictor predictor(network, bank, forward, seed, pool);
  const std::vector<std::vector<uint8_t>> seen =
      Witness(predictor, AtPlanSpacing(c.image, network.plan()), witnesses);
  FindDisagreement(seen, quality);
  for (const size_t t : witnesses) quality.witnesses.push_back(bank.cases[t].id);
  const std::vector<size_t> cases = nearest(options.reverse_cases);

  // Dice of every reverse case with what the label map, as the only template, makes of it.
  InferenceOptions reverse = forward;
  reverse.decode = options.reverse;
  TemplateBank questioned;
  questioned.labels = bank.labels;
  questioned.scores = {0};
  questioned.present.emplace_back(static_cast<size_t>(classes) + 1, uint8_t{0});
  for (const uint8_t v : c.labels) questioned.present[0][v] = 1;
  questioned.cases.push_back(std::move(c));
  const PreparedCase& own = questioned.cases.front();
  std::vector<std::vector<double>> dice;
  Predictor back(network, questioned, reverse, seed, pool);
  const std::array<size_t, 1> only = {0};
  for (const size_t t : cases) {
    const std::shared_ptr<const PreparedCase> known = bank.Open(t);
    const std::vector<uint8_t> labels =
        back.Segment(AtPlanSpacing(known->image, network.plan()), only).labels;
    dice.push_back(DiceScores(labels, known->labels, classes));
    quality.reverse_cases.push_back(known->id);
  }

  std::vector<std::vector<double>> agreement, support;
  for (size_t a = 0; a < seen.size(); ++a) {
    support.push_back(DiceScores(seen[a], own.labels, classes));
    for (size_t b = a + 1; b < seen.size(); ++b)
      agreement.push_back(DiceScores(seen[a], seen[b], classes));
  }
  const auto of_class = [](const std::vector<std::vector<double>>& rows, size_t k) {
    std::vector<double> values;
    values.reserve(rows.size());
    for (const std::vector<double>& row : rows) values.push_back(row[k]);
    return values;
  };
  for (size_t k = 0; k < static_cast<size_t>(classes); ++k) {
    ClassQuality q{.label = static_cast<int64_t>(k) + 1};
    q.voxels = std::count(own.labels.begin(), own.labels.end(), static_cast<uint8_t>(k + 1));
    const std::vector<double> reached = of_class(dice, k);
    q.reverse_mean = MeanOf(reached);
    q.predicted_dice = kNone;
    for (size_t n = 0; n < reached.size(); ++n) {
      if (std::isnan(reached[n]) ||
          !(std::isnan(q.predicted_dice) || reached[n] > q.predicted_dice))
        continue;
      q.predicted_dice = reached[n];
      q.best_case = quality.reverse_cases[n];
    }
    q.agreement = MeanOf(of_class(agreement, k));
    q.support = MeanOf(of_class(support, k));
    const bool expected = q.voxels > 0 || !std::isnan(q.support);
    const bool supported = q.support >= options.flag_below;
    const bool reversible = options.reverse_below == 0 || q.predicted_dice >= options.reverse_below;
    q.flagged = expected && !(supported && reversible);
    quality.classes.push_back(std::move(q));
  }
  quality.seconds = SecondsNow() - begin;
  return quality;
}

}  // namespace orchard::segment
