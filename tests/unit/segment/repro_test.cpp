#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "segment/predictor.h"
#include "segment/repro/trainings.h"
#include "segment/template_network.h"
#include "segment/train.h"
#include "unit/segment/made_case.h"

namespace orchard::segment {
namespace {

std::vector<PreparedCase> Cases(int count) {
  std::vector<PreparedCase> cases;
  for (int n = 0; n < count; ++n)
    cases.push_back(
        testing::MakeCase("case" + std::to_string(n), {16, 16, 8}, static_cast<uint64_t>(n)));
  return cases;
}

TEST(MatchedPlan, HasAsManyParameters) {
  const Plan plan = testing::MakePlan({40, 56, 40}, 4, 16);
  NetworkOptions off;
  off.attention = AttentionKind::kOff;
  const int64_t with = TemplateNetwork(plan, {}, 0).parameters().elements();
  const Plan matched = repro::MatchedPlan(plan, {});
  const int64_t without = TemplateNetwork(matched, off, 0).parameters().elements();
  EXPECT_LE(without, with);
  EXPECT_GT(static_cast<double>(without), 0.98 * static_cast<double>(with));
  // Only the coarsest stage, the cheapest one, is wider.
  for (size_t s = 0; s + 1 < plan.stages.size(); ++s) EXPECT_EQ(plan.stages[s], matched.stages[s]);
}

TEST(StridedStem, LeavesTheFinestStageOutAndLearns) {
  const Plan plan = testing::MakePlan({16, 12, 8}, 3, 4);
  NetworkOptions options;
  options.stem = TemplateStem::kStrided;
  EXPECT_EQ(FusedLevels(options, plan), (std::vector<int64_t>{1, 2}));
  TemplateNetwork network(plan, options, 1);
  EXPECT_FALSE(network.parameters().Has("template.stages.0.0.conv.weight"));
  // Image, two regions and two masks come in, the second stage's channels go out.
  EXPECT_EQ(network.parameters().Get("template.stages.1.0.conv.weight").sizes(),
            (at::IntArrayRef{8, 5, 3, 3, 3}));
  network.parameters().RequireGrad(true);
  at::manual_seed(1);
  const at::Tensor image = at::randn({1, 1, 8, 12, 16});
  const at::Tensor labels = at::randint(0, 3, {1, 8, 12, 16}).to(at::kByte);
  const std::vector<TemplateTokens> tokens = network.EncodeTemplate(image, labels);
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens[0].k.size(1), 8 * 6 * 4);
  network.Decode(network.EncodeImage(image), tokens, true).logits[0].square().sum().backward();
  EXPECT_GT(
      network.parameters().Get("template.stages.1.0.conv.weight").grad().abs().sum().item<double>(),
      0);
  options.levels = {0, 1};
  EXPECT_THROW(TemplateNetwork(plan, options, 1), UsageError);
}

TEST(ClassicBlocks, KeepStatisticsOfTrainingForPrediction) {
  const Plan plan = testing::MakePlan({16, 16, 1}, 3, 4);
  NetworkOptions options;
  options.blocks = Blocks::kClassic;
  TemplateNetwork network(plan, options, 1);
  EXPECT_FALSE(network.parameters().Has("decoder.0.up.weight"));
  at::manual_seed(1);
  const at::Tensor images = 3 + 2 * at::randn({4, 1, 1, 16, 16});
  const at::Tensor labels = at::randint(0, 3, {4, 1, 16, 16}).to(at::kByte);
  const auto decode = [&](const at::Tensor& image, const at::Tensor& map) {
    return network.Decode(network.EncodeImage(image), network.EncodeTemplate(image, map), false)
        .logits[0];
  };
  const at::Tensor mean = network.parameters().Get("image.stages.0.0.norm.mean");
  decode(images, labels);
  EXPECT_EQ(mean.abs().max().item<float>(), 0);
  network.SetTraining(true);
  for (int n = 0; n < 60; ++n) decode(images, labels);
  network.SetTraining(false);
  EXPECT_GT(mean.abs().max().item<float>(), 0);
  // An image alone is seen as among others.
  const at::Tensor all = decode(images, labels);
  const at::Tensor one = decode(images.narrow(0, 2, 1), labels.narrow(0, 2, 1));
  EXPECT_LT((all.narrow(0, 2, 1) - one).abs().max().item<float>(), 1e-4);
  EXPECT_EQ(all.sizes(), (at::IntArrayRef{4, 3, 1, 16, 16}));
}

TEST(TrainOnCases, EndsWithItsTime) {
  SegmentTrainOptions options = repro::BaseOptions(0.01);
  const SegmentTrainResult result = TrainOnCases(
      options, {.progress = false}, Cases(3), testing::MakePlan({16, 16, 8}, 2, 4),
      [](const TemplateNetwork&, const TemplateBank& bank) { EXPECT_EQ(bank.cases.size(), 3u); });
  EXPECT_GE(result.cpu_seconds, 0.6);
  EXPECT_GT(result.steps, 1);
}

TEST(TrainOnCases, BlankTemplatesStayBlankInTheBank) {
  SegmentTrainOptions options = repro::BaseOptions(0);
  options.run.epochs = options.run.iterations = 1;
  options.sampling.blank = true;
  TrainOnCases(options, {.progress = false}, Cases(3), testing::MakePlan({16, 16, 8}, 2, 4),
               [](const TemplateNetwork&, const TemplateBank& bank) {
                 for (const PreparedCase& c : bank.cases)
                   for (const uint8_t l : c.labels) ASSERT_EQ(l, 0);
               });
}

}  // namespace
}  // namespace orchard::segment
