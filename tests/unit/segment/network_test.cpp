#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "nn/optimizer.h"
#include "segment/model_directory.h"
#include "segment/predictor.h"
#include "segment/segmentation_loss.h"
#include "segment/template_network.h"
#include "unit/scratch_dir.h"
#include "unit/segment/made_case.h"

namespace orchard::segment {
namespace {

at::Tensor Random(at::IntArrayRef shape, uint64_t seed) {
  at::manual_seed(seed);
  return at::randn(shape);
}

struct Setting {
  AttentionKind attention;
  TemplateMode mode;
  EncoderShare share;
  ForegroundInput foreground;
  Fusion fuse;
};

class EveryNetwork : public ::testing::TestWithParam<Setting> {};

// All parameters learn, and what comes out has the image's size.
TEST_P(EveryNetwork, ReachesAllItsParameters) {
  const Setting& s = GetParam();
  NetworkOptions options;
  options.attention = s.attention;
  options.mode = s.mode;
  options.share = s.share;
  options.foreground = s.foreground;
  options.fuse = s.fuse;
  TemplateNetwork network(testing::MakePlan({16, 12, 8}, 3, 4), options, 1);
  network.parameters().RequireGrad(true);
  const at::Tensor image = Random({2, 1, 8, 12, 16}, 1), example = Random({2, 1, 8, 12, 16}, 2);
  const at::Tensor labels = at::randint(0, 3, {2, 8, 12, 16}).to(at::kByte);
  std::vector<TemplateTokens> tokens;
  if (network.uses_template()) tokens = network.EncodeTemplate(example, labels);
  const Decoded d = network.Decode(network.EncodeImage(image), tokens, true);
  ASSERT_EQ(d.logits.size(), 2u);
  EXPECT_EQ(d.logits[0].sizes(), (at::IntArrayRef{2, 3, 8, 12, 16}));
  EXPECT_EQ(d.logits[1].sizes(), (at::IntArrayRef{2, 3, 4, 6, 8}));
  at::Tensor sum = d.logits[0].square().sum() + d.logits[1].square().sum();
  for (const at::Tensor& logits : d.similarity_logits) sum = sum + logits.square().sum();
  sum.backward();
  for (const nn::Parameter& p : network.parameters().all()) {
    ASSERT_TRUE(p.value.grad().defined()) << p.name;
    EXPECT_TRUE(p.value.grad().isfinite().all().item<bool>()) << p.name;
  }
}

constexpr auto kJoint = TemplateMode::kJoint;
constexpr auto kShared = EncoderShare::kAllButStem;
constexpr auto kBoth = ForegroundInput::kRegionAndMask;
constexpr auto kConcat = Fusion::kConcat;
INSTANTIATE_TEST_SUITE_P(
    Kinds, EveryNetwork,
    ::testing::Values(
        Setting{AttentionKind::kPairwise, kJoint, kShared, kBoth, kConcat},
        Setting{AttentionKind::kPairwise, TemplateMode::kPerClass, kShared, kBoth, kConcat},
        Setting{AttentionKind::kPairwise, kJoint, EncoderShare::kNone, kBoth, kConcat},
        Setting{AttentionKind::kPairwise, kJoint, kShared, ForegroundInput::kRegion, kConcat},
        Setting{AttentionKind::kPairwise, kJoint, kShared, ForegroundInput::kMask,
                Fusion::kResidual},
        Setting{AttentionKind::kPrototype, kJoint, kShared, kBoth, kConcat},
        Setting{AttentionKind::kWindow, kJoint, kShared, kBoth, kConcat},
        Setting{AttentionKind::kNone, TemplateMode::kPerClass, kShared, kBoth, kConcat},
        Setting{AttentionKind::kOff, kJoint, kShared, kBoth, kConcat}));

TEST(TemplateNetwork, SharesAllWeightsButTheStem) {
  NetworkOptions options;
  const Plan plan = testing::MakePlan({16, 16, 16});
  const TemplateNetwork shared(plan, options, 0);
  options.share = EncoderShare::kNone;
  const TemplateNetwork apart(plan, options, 0);
  EXPECT_TRUE(shared.parameters().Has("template.stages.0.0.conv.weight"));
  EXPECT_FALSE(shared.parameters().Has("template.stages.0.1.conv.weight"));
  EXPECT_TRUE(apart.parameters().Has("template.stages.2.1.conv.weight"));
}

TEST(TemplateNetwork, TwoSlicesOfAPlanOfSlicesDoNotMix) {
  const Plan plan = testing::MakePlan({16, 16, 1});
  NetworkOptions options;
  options.attention = AttentionKind::kOff;
  const TemplateNetwork network(plan, options, 0);
  const at::Tensor one = Random({1, 1, 1, 16, 16}, 1);
  const at::Tensor logits = network.Decode(network.EncodeImage(one), {}, false).logits[0];
  EXPECT_EQ(logits.sizes(), (at::IntArrayRef{1, 3, 1, 16, 16}));
}

// A template's features do not depend on the image, nor on how many templates there are: two
// copies of one steer as one does.
TEST(TemplateNetwork, TwoEqualTemplatesAreOne) {
  const TemplateNetwork network(testing::MakePlan({16, 16, 16}), {}, 3);
  const c10::NoGradGuard no_gradient;
  const at::Tensor image = Random({1, 1, 16, 16, 16}, 1), example = Random({1, 1, 16, 16, 16}, 2);
  const at::Tensor labels = at::randint(0, 3, {1, 16, 16, 16}).to(at::kByte);
  const auto features = network.EncodeImage(image);
  const auto tokens = network.EncodeTemplate(example, labels);
  const at::Tensor once = network.Decode(features, tokens, false).logits[0];
  const at::Tensor twice = network.Decode(features, Concatenate({tokens, tokens}), false).logits[0];
  EXPECT_LT((once - twice).abs().max().item<double>(), 1e-4);
}

// Three slabs of different grey values, template and image alike: with equal projections and a high
// tau, a cell's own class answers for it, but for some on the borders.
TEST(TemplateNetwork, FindsEachCellOfItsOwnTemplate) {
  const volume::Size3 size = {72, 8, 8};
  NetworkOptions options;
  options.tau = 40;
  options.foreground = ForegroundInput::kMask;
  options.levels = {0};
  TemplateNetwork network(testing::MakePlan(size, 2), options, 3);
  const c10::NoGradGuard no_gradient;
  // The stem that is the template's own sees the masks as well: without weights for them it is the
  // image's.
  at::Tensor stem = network.parameters().Get("template.stages.0.0.conv.weight");
  stem.zero_();
  stem.narrow(1, 0, 1).copy_(network.parameters().Get("image.stages.0.0.conv.weight"));
  network.parameters().Get("fuse.0.k.weight").copy_(network.parameters().Get("fuse.0.q.weight"));
  const at::Tensor labels =
      at::arange(72, at::kLong).div(24, "floor").to(at::kByte).expand({1, 8, 8, 72}).contiguous();
  const at::Tensor grey = at::where(labels == 2, -2.0, labels.to(at::kFloat) * 2.0);
  const at::Tensor image = (grey + 0.1 * Random({1, 8, 8, 72}, 1)).to(at::kFloat).unsqueeze(1);
  const auto tokens = network.EncodeTemplate(image, labels);
  const AttentionResult a = network.Attend(0, network.EncodeImage(image)[0], tokens[0]);
  const at::Tensor own = tokens[0].mu.argmax(1).flatten();
  EXPECT_GE(a.weight.argmax(-1).flatten().eq(own).to(at::kDouble).mean().item<double>(), 0.95);
}

TEST(ClassAreas, SumToOneInEveryCell) {
  const at::Tensor labels = at::randint(0, 4, {2, 8, 12, 16}).to(at::kByte);
  const at::Tensor areas = ClassAreas(labels, 4, {2, 6, 4});
  EXPECT_EQ(areas.sizes(), (at::IntArrayRef{2, 4, 48}));
  EXPECT_LT((areas.sum(1) - 1).abs().max().item<double>(), 1e-6);
}

TEST(NearCells, KeepsCellsWithinReachOnEveryAxis) {
  const at::Tensor near = NearCells({2, 3, 4}, {2, 3, 4}, 1);
  for (int64_t i = 0; i < 24; ++i) {
    for (int64_t j = 0; j < 24; ++j) {
      const bool close = std::abs(i / 12 - j / 12) <= 1 && std::abs(i / 4 % 3 - j / 4 % 3) <= 1 &&
                         std::abs(i % 4 - j % 4) <= 1;
      EXPECT_EQ(near[i][j].item<bool>(), close);
    }
  }
}

TEST(ModelDirectory, PredictsAsTheModelThatWasSaved) {
  const testing::ScratchDir dir;
  const Plan plan = testing::MakePlan({16, 16, 16});
  TemplateNetwork network(plan, {}, 7);
  const TemplateBank bank =
      MakeBank({testing::MakeCase("a", {20, 16, 14}, 1), testing::MakeCase("b", {16, 16, 16}, 2)},
               plan.labels, 0);
  WriteModelDirectory(dir / "final", network, bank);
  const SegmentationModel read = ReadModelDirectory(dir.path());
  ThreadPool pool(1);
  InferenceOptions options;
  options.templates = 2;
  const PreparedCase c = testing::MakeCase("c", {21, 17, 30}, 3);
  Predictor first(network, bank, options, 0, pool),
      second(*read.network, read.bank, options, 0, pool);
  EXPECT_EQ(first.Segment(c.image, "c").labels, second.Segment(c.image, "c").labels);
}

TEST(Predictor, NeverUsesATemplateOfTheImagesSubject) {
  const Plan plan = testing::MakePlan({16, 16, 16});
  TemplateNetwork network(plan, {}, 7);
  const TemplateBank bank =
      MakeBank({testing::MakeCase("a", {16, 16, 16}, 1), testing::MakeCase("b", {16, 16, 16}, 2)},
               plan.labels, 0);
  ThreadPool pool(1);
  InferenceOptions options;
  options.templates = 2;
  Predictor predictor(network, bank, options, 0, pool);
  EXPECT_EQ(predictor.Segment(bank.cases[0].image, "a").templates, std::vector<std::string>{"b"});
}

// With one template both ensembles are the same thing.
TEST(Predictor, EnsemblesOfOneTemplateAgree) {
  const Plan plan = testing::MakePlan({16, 16, 16});
  TemplateNetwork network(plan, {}, 7);
  const TemplateBank bank = MakeBank({testing::MakeCase("a", {16, 16, 16}, 1)}, plan.labels, 0);
  ThreadPool pool(1);
  InferenceOptions tokens, logits;
  logits.ensemble = Ensemble::kLogits;
  const PreparedCase c = testing::MakeCase("c", {21, 17, 30}, 3);
  Predictor first(network, bank, tokens, 0, pool), second(network, bank, logits, 0, pool);
  EXPECT_EQ(first.Segment(c.image, "c").labels, second.Segment(c.image, "c").labels);
}

// One image and one template, 200 steps: what is learned by heart is segmented all but perfectly.
TEST(TemplateNetwork, LearnsOnePairByHeart) {
  const volume::Size3 size = {16, 16, 16};
  TemplateNetwork network(testing::MakePlan(size, 2, 8), {}, 1);
  network.parameters().RequireGrad(true);
  std::vector<nn::OptimizedTensor> tensors;
  for (const nn::Parameter& p : network.parameters().all()) tensors.push_back({p.name, p.value});
  nn::Optimizer optimizer(tensors, {.weight_decay = 0});
  std::vector<PreparedCase> cases = {testing::MakeCase("a", size, 1),
                                     testing::MakeCase("b", size, 2)};
  const auto image = [&](PreparedCase& c) {
    return at::from_blob(c.image.values.data(), {1, 1, 16, 16, 16}, at::kFloat);
  };
  const auto labels = [&](PreparedCase& c) {
    return at::from_blob(c.labels.data(), {1, 16, 16, 16}, at::kByte);
  };
  for (int step = 0; step < 200; ++step) {
    optimizer.ClearGradients();
    const auto tokens = network.EncodeTemplate(image(cases[1]), labels(cases[1]));
    const Decoded d = network.Decode(network.EncodeImage(image(cases[0])), tokens, true);
    SegmentationLoss(d.logits[0], labels(cases[0]), {}).total.backward();
    optimizer.Step(5e-3);
  }
  const TemplateBank bank = MakeBank({cases[1]}, NumberedLabels(2), 0);
  ThreadPool pool(1);
  Predictor predictor(network, bank, {}, 0, pool);
  const SegmentedImage s = predictor.Segment(cases[0].image, "a");
  for (const double dice : DiceScores(s.labels, cases[0].labels, 2)) EXPECT_GT(dice, 0.99);
}

TEST(DiceScores, AreTwiceTheOverlapOverTheSum) {
  const std::vector<uint8_t> a = {0, 1, 1, 2, 0, 0}, b = {0, 1, 2, 2, 2, 0};
  const std::vector<double> dice = DiceScores(a, b, 3);
  EXPECT_DOUBLE_EQ(dice[0], 2.0 / 3);
  EXPECT_DOUBLE_EQ(dice[1], 2.0 / 4);
  EXPECT_TRUE(std::isnan(dice[2]));
}

}  // namespace
}  // namespace orchard::segment
