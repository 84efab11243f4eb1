#include "segment/episodes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/error.h"
#include "unit/segment/made_case.h"

namespace orchard::segment {
namespace {

class EpisodesTest : public ::testing::Test {
 protected:
  EpisodesTest() {
    augment_.enabled = false;
    for (uint64_t n = 0; n < 4; ++n)
      cases_.push_back(testing::MakeCase("case" + std::to_string(n), {20, 18, 16}, n));
    sampling_.p_self = 0;
  }

  EpisodeSampler Make(const EpisodeOptions& options) {
    sampler_ = std::make_unique<Sampler>(cases_, plan_, sampling_, augment_, 1);
    return {*sampler_, cases_, plan_, options, augment_, 1};
  }

  std::vector<PreparedCase> cases_;
  Plan plan_ = testing::MakePlan({16, 16, 16});
  SamplingOptions sampling_;
  AugmentOptions augment_;
  std::unique_ptr<Sampler> sampler_;
};

TEST_F(EpisodesTest, AskForNoMoreClassesThanThereAre) {
  const EpisodeSampler sampler = Make({.most_classes = 3});
  std::set<EpisodeKind> kinds;
  for (int64_t step = 0; step < 60; ++step) {
    const Episode e = sampler.ForStep(step);
    kinds.insert(e.kind);
    EXPECT_GE(e.classes, 1);
    EXPECT_LE(e.classes, e.kind == EpisodeKind::kLabels ? 2 : 3);
    const Sample s = sampler.Draw(static_cast<uint64_t>(step), e);
    for (const Patch* patch : {&s.target, &s.example}) {
      EXPECT_EQ(std::ssize(patch->image), 16 * 16 * 16);
      EXPECT_LE(*std::max_element(patch->labels.begin(), patch->labels.end()), e.classes);
    }
  }
  EXPECT_EQ(kinds.size(), 3u);
}

TEST_F(EpisodesTest, DrawTheSameForANumber) {
  const EpisodeSampler sampler = Make({});
  for (int64_t step = 0; step < 20; ++step) {
    const Episode e = sampler.ForStep(step);
    const auto number = static_cast<uint64_t>(step);
    const Sample a = sampler.Draw(number, e), b = sampler.Draw(number, e);
    EXPECT_EQ(a.target.image, b.target.image);
    EXPECT_EQ(a.example.labels, b.example.labels);
  }
}

// Both labels become class 1 now and then: the order is random.
TEST_F(EpisodesTest, PermuteLabels) {
  const EpisodeSampler sampler = Make({.merge = 0, .regions = 0, .synthetic = 0});
  int bright_first = 0, dark_first = 0;
  for (uint64_t n = 0; n < 40; ++n) {
    const Sample s = sampler.Draw(n, {EpisodeKind::kLabels, 2});
    // Label 1 is bright, label 2 dark.
    double bright = 0;
    for (size_t i = 0; i < s.example.labels.size(); ++i)
      if (s.example.labels[i] == 1) bright += s.example.image[i];
    (bright > 0 ? bright_first : dark_first)++;
  }
  EXPECT_GT(bright_first, 8);
  EXPECT_GT(dark_first, 8);
}

TEST_F(EpisodesTest, NeverShowALabelThatIsLeftOut) {
  const EpisodeSampler sampler =
      Make({.only_labels = {1}, .merge = 1, .regions = 0, .synthetic = 0});
  for (uint64_t n = 0; n < 40; ++n) {
    const Sample s = sampler.Draw(n, sampler.ForStep(static_cast<int64_t>(n)));
    for (const Patch* patch : {&s.target, &s.example}) {
      for (size_t i = 0; i < patch->labels.size(); ++i) {
        if (patch->labels[i] != 1) continue;
        EXPECT_GT(patch->image[i], 0.5f);  // the dark ball is at -2, the rest at 0
      }
    }
  }
}

TEST_F(EpisodesTest, MergeWhatWasNotAskedFor) {
  const EpisodeSampler sampler = Make({.merge = 1, .regions = 0, .synthetic = 0});
  const Sample s = sampler.Draw(3, {EpisodeKind::kLabels, 1});
  int64_t bright = 0, dark = 0;
  for (size_t i = 0; i < s.target.labels.size(); ++i) {
    if (s.target.labels[i] != 1) continue;
    (s.target.image[i] > 0 ? bright : dark)++;
  }
  EXPECT_GT(bright, 20);
  EXPECT_GT(dark, 20);
}

// A synthetic pair shows the same shapes in about the same grey values.
TEST_F(EpisodesTest, SyntheticPairsShareGreyValues) {
  const EpisodeSampler sampler = Make({});
  int close = 0, pairs = 0;
  for (uint64_t n = 0; n < 30; ++n) {
    const Sample s = sampler.Draw(n, {EpisodeKind::kSynthetic, 1});
    const auto mean = [](const Patch& p, int64_t& count) {
      double sum = 0;
      count = 0;
      for (size_t i = 0; i < p.labels.size(); ++i) {
        if (p.labels[i] != 1) continue;
        sum += p.image[i];
        ++count;
      }
      return sum / static_cast<double>(std::max<int64_t>(1, count));
    };
    int64_t in_target = 0, in_example = 0;
    const double a = mean(s.target, in_target), b = mean(s.example, in_example);
    if (in_target < 50 || in_example < 50) continue;
    ++pairs;
    if (std::abs(a - b) < 0.5) ++close;
  }
  EXPECT_GT(pairs, 10);
  EXPECT_EQ(close, pairs);
}

TEST_F(EpisodesTest, RefuseAnUnknownLabel) {
  EXPECT_THROW(Make({.only_labels = {3}}), UsageError);
  EXPECT_THROW(Make({.regions = 0.6, .synthetic = 0.5}), UsageError);
}

TEST(RandomRegions, CoverTheVolume) {
  data::RandomStream random(3, "test", 0);
  const std::vector<uint8_t> labels = RandomRegions({20, 16, 12}, 5, {}, random);
  std::array<int64_t, 5> count{};
  for (const uint8_t v : labels) ++count.at(v);
  EXPECT_GE(std::count_if(count.begin(), count.end(), [](int64_t n) { return n > 0; }), 3);
}

}  // namespace
}  // namespace orchard::segment
