#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "segment/sampler.h"
#include "segment/template_choice.h"
#include "unit/segment/made_case.h"

namespace orchard::segment {
namespace {

using volume::Size3;

std::vector<PreparedCase> Cases(int count, int scans_of_a_subject = 1) {
  std::vector<PreparedCase> cases;
  for (int n = 0; n < count; ++n) {
    cases.push_back(testing::MakeCase("case" + std::to_string(n), {20, 18, 16},
                                      static_cast<uint64_t>(n),
                                      "subject" + std::to_string(n / scans_of_a_subject)));
  }
  return cases;
}

AugmentOptions Off() {
  AugmentOptions options;
  options.enabled = false;
  return options;
}

TEST(Sampler, NeverTakesATemplateOfTheSameSubject) {
  const std::vector<PreparedCase> cases = Cases(6, 2);
  const Plan plan = testing::MakePlan({16, 16, 16});
  SamplingOptions sampling;
  sampling.p_self = 0;
  const Sampler sampler(cases, plan, sampling, Off(), 1);
  for (uint64_t n = 0; n < 200; ++n) {
    const Sample s = sampler.Draw(n);
    EXPECT_NE(cases[s.target_case].subject, cases[s.template_case].subject);
  }
}

TEST(Sampler, TakesTemplatesOfTheTargetsGroup) {
  std::vector<PreparedCase> cases = Cases(6);
  for (size_t n = 0; n < cases.size(); ++n) cases[n].group = n % 2 == 0 ? "even" : "odd";
  const Plan plan = testing::MakePlan({16, 16, 16});
  const Sampler sampler(cases, plan, {}, Off(), 1);
  for (uint64_t n = 0; n < 200; ++n) {
    const Sample s = sampler.Draw(n);
    EXPECT_EQ(s.target_case % 2, s.template_case % 2);
  }
}

TEST(Sampler, BlankTemplatesMarkNothing) {
  const std::vector<PreparedCase> cases = Cases(4);
  const Plan plan = testing::MakePlan({16, 16, 16});
  SamplingOptions sampling;
  sampling.blank = true;
  const Sampler blank(cases, plan, sampling, Off(), 1), marked(cases, plan, {}, Off(), 1);
  for (uint64_t n = 0; n < 20; ++n) {
    const Sample b = blank.Draw(n), m = marked.Draw(n);
    EXPECT_EQ(std::accumulate(b.example.labels.begin(), b.example.labels.end(), 0), 0);
    EXPECT_EQ(b.example.image, m.example.image);
    EXPECT_EQ(b.target.labels, m.target.labels);
  }
}

TEST(Sampler, RefusesASingleSubject) {
  const std::vector<PreparedCase> cases = Cases(2, 2);
  const Plan plan = testing::MakePlan({16, 16, 16});
  EXPECT_THROW(Sampler(cases, plan, {}, Off(), 1), ImpossibleError);
}

TEST(Sampler, DrawsTheSameForANumber) {
  const std::vector<PreparedCase> cases = Cases(4);
  const Plan plan = testing::MakePlan({16, 16, 16});
  AugmentOptions augment;
  augment.mirror_axes = {0, 1, 2};
  const Sampler sampler(cases, plan, {}, augment, 5);
  for (uint64_t n = 0; n < 30; ++n) {
    const Sample a = sampler.Draw(n), b = sampler.Draw(n);
    EXPECT_EQ(a.target.image, b.target.image);
    EXPECT_EQ(a.example.image, b.example.image);
    EXPECT_EQ(a.example.labels, b.example.labels);
  }
}

TEST(Sampler, CentresAThirdOfThePatchesOnAForegroundVoxel) {
  std::vector<PreparedCase> cases;
  for (int n = 0; n < 2; ++n)
    cases.push_back(testing::MakeCase(std::to_string(n), {64, 48, 48}, 3));
  const Plan plan = testing::MakePlan({8, 8, 8});
  SamplingOptions sampling;
  sampling.foreground = 1;
  const Sampler sampler(cases, plan, sampling, Off(), 1);
  for (uint64_t n = 0; n < 100; ++n) {
    const Sample s = sampler.Draw(n);
    EXPECT_NE(s.target.labels[static_cast<size_t>(volume::IndexOf({8, 8, 8}, 4, 4, 4))], 0);
  }
}

TEST(CutPatch, WithoutAChangeCopiesAndPadsWithZero) {
  const PreparedCase c = testing::MakeCase("c", {10, 9, 8}, 1);
  const Patch p = CutPatch(c.image.values.data(), c.labels.data(), 1, c.image.size, {12, 8, 4},
                           {-1, 1, 2}, SpatialChange{});
  EXPECT_EQ(p.image[0], 0);
  EXPECT_EQ(p.image[1],
            c.image.values[static_cast<size_t>(volume::IndexOf(c.image.size, 0, 1, 2))]);
  EXPECT_EQ(p.labels[static_cast<size_t>(volume::IndexOf({12, 8, 4}, 5, 3, 1))],
            c.labels[static_cast<size_t>(volume::IndexOf(c.image.size, 4, 4, 3))]);
}

TEST(CutPatch, AQuarterTurnMovesVoxelsExactly) {
  const PreparedCase c = testing::MakeCase("c", {9, 9, 5}, 2);
  SpatialChange change;
  change.turn = {{{0, -1, 0}, {1, 0, 0}, {0, 0, 1}}};
  const Patch p = CutPatch(c.image.values.data(), c.labels.data(), 1, c.image.size, {9, 9, 5},
                           {0, 0, 0}, change);
  for (int64_t k = 0; k < 5; ++k) {
    for (int64_t j = 0; j < 9; ++j) {
      for (int64_t i = 0; i < 9; ++i) {
        const auto from = static_cast<size_t>(volume::IndexOf({9, 9, 5}, 8 - j, i, k));
        const auto to = static_cast<size_t>(volume::IndexOf({9, 9, 5}, i, j, k));
        EXPECT_EQ(p.image[to], c.image.values[from]);
        EXPECT_EQ(p.labels[to], c.labels[from]);
      }
    }
  }
}

TEST(ChangeValues, GammaKeepsMeanAndDeviation) {
  AugmentOptions options;
  options.noise = options.blur = options.brightness = options.contrast = options.low_resolution = 0;
  options.gamma_inverted = options.gamma = 1;
  const PreparedCase c = testing::MakeCase("c", {12, 12, 12}, 3);
  Patch p{.size = c.image.size, .channels = 1, .image = c.image.values, .labels = c.labels};
  data::RandomStream random(1, "test", 0);
  ChangeValues(options, p, random);
  const auto moments = [](const std::vector<float>& v) {
    const double mean = std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
    double squares = 0;
    for (const float x : v) squares += (x - mean) * (x - mean);
    return std::pair(mean, std::sqrt(squares / static_cast<double>(v.size())));
  };
  const auto before = moments(c.image.values), after = moments(p.image);
  EXPECT_NE(p.image, c.image.values);
  EXPECT_NEAR(after.first, before.first, 1e-4);
  EXPECT_NEAR(after.second, before.second, 1e-4);
}

TEST(Mirror, TwiceIsNothingAndMovesLabelsWithTheImage) {
  const PreparedCase c = testing::MakeCase("c", {7, 6, 5}, 4);
  Patch p{.size = c.image.size, .channels = 1, .image = c.image.values, .labels = c.labels};
  Mirror(p, {true, false, true});
  EXPECT_EQ(p.image[0], c.image.values[static_cast<size_t>(volume::IndexOf(p.size, 6, 0, 4))]);
  EXPECT_EQ(p.labels[0], c.labels[static_cast<size_t>(volume::IndexOf(p.size, 6, 0, 4))]);
  Mirror(p, {true, false, true});
  EXPECT_EQ(p.image, c.image.values);
}

TEST(ChooseTemplates, NearestIsTheImageItselfUnlessItsSubjectIsLeftOut) {
  const std::vector<PreparedCase> bank = Cases(5);
  const TemplateQuery query{TemplateSelect::kNearest, 1, "", 0};
  const std::vector<double> scores(5, 0.0);
  EXPECT_EQ(ChooseTemplates(bank, scores, query, bank[3].thumbnail, "")[0], 3u);
  EXPECT_NE(ChooseTemplates(bank, scores, query, bank[3].thumbnail, "subject3")[0], 3u);
}

TEST(MedoidScores, AreHighestForTheCaseInTheMiddle) {
  // Balls of one radius along a line: the middle one overlaps the others most.
  std::vector<PreparedCase> cases;
  for (const int64_t at : {8, 10, 12}) {
    PreparedCase c;
    c.image.size = {20, 20, 1};
    c.image.channels = 1;
    for (int64_t j = 0; j < 20; ++j)
      for (int64_t i = 0; i < 20; ++i)
        c.labels.push_back((i - at) * (i - at) + (j - 10) * (j - 10) < 16 ? 1 : 0);
    c.image.values.assign(400, 0.0f);
    cases.push_back(c);
  }
  const std::vector<double> scores = MedoidScores(cases, 1);
  EXPECT_GT(scores[1], scores[0]);
  EXPECT_GT(scores[1], scores[2]);
  EXPECT_NEAR(scores[0], scores[2], 1e-12);
}

TEST(RelativeStart, IsTheSamePlaceOfTheBody) {
  const volume::Box target{{10, 0, 0}, {50, 64, 64}}, other{{0, 0, 0}, {80, 64, 64}};
  // The window's centre is at three quarters of the target's body.
  const Size3 start = RelativeStart(target, {32, 0, 0}, other, {100, 64, 64}, {16, 64, 64}, false);
  EXPECT_EQ(start, (Size3{52, 0, 0}));
}

TEST(ClampStart, KeepsWindowsInsideAndCentresLargerOnes) {
  EXPECT_EQ(ClampStart(-3, 20, 8), 0);
  EXPECT_EQ(ClampStart(15, 20, 8), 12);
  EXPECT_EQ(ClampStart(7, 5, 8), -1);
}

}  // namespace
}  // namespace orchard::segment
