// What feeds a training step and what joins those of several ranks; mixed precision.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "comm/simulated.h"
#include "segment/batch_loader.h"
#include "segment/gradient_sum.h"
#include "segment/instance_norm.h"
#include "segment/mixed_precision.h"
#include "segment/segmentation_loss.h"
#include "segment/template_network.h"
#include "unit/segment/made_case.h"

namespace orchard::segment {
namespace {

constexpr volume::Size3 kPatch = {16, 16, 8};

std::vector<PreparedCase> ThreeCases() {
  return {testing::MakeCase("a", {20, 18, 12}, 1), testing::MakeCase("b", {18, 20, 10}, 2),
          testing::MakeCase("c", {16, 16, 8}, 3)};
}

Plan PlanOf(int64_t batch) {
  Plan plan = testing::MakePlan(kPatch, 2, 4);
  plan.batch = batch;
  return plan;
}

bool Same(const SampleBatch& a, const SampleBatch& b) {
  return a.image.equal(b.image) && a.labels.equal(b.labels) &&
         a.template_image.equal(b.template_image) && a.template_labels.equal(b.template_labels);
}

TEST(BatchLoader, RunsAheadWithoutChangingABit) {
  const std::vector<PreparedCase> cases = ThreeCases();
  const Plan plan = PlanOf(2);
  const Sampler sampler(cases, plan, {}, {}, 7);
  BatchLoader ahead(sampler, plan, {.first = 0, .last = 5, .threads = 2});
  for (int64_t step = 0; step < 5; ++step) {
    const SampleBatch batch = ahead.Next();
    // A run that was continued at this step, on one thread.
    BatchLoader alone(sampler, plan, {.first = step, .last = step + 1});
    EXPECT_TRUE(Same(batch, alone.Next())) << step;
    const Sample s = sampler.Draw(static_cast<uint64_t>(2 * step + 1));
    EXPECT_TRUE(std::equal(s.target.image.begin(), s.target.image.end(),
                           batch.image[1].contiguous().const_data_ptr<float>()));
  }
}

TEST(BatchLoader, RanksShareOneBatch) {
  const std::vector<PreparedCase> cases = ThreeCases();
  const Plan one = PlanOf(1), two = PlanOf(2);
  const Sampler sampler(cases, one, {}, {}, 7);
  BatchLoader whole(sampler, two, {.first = 3, .last = 4});
  BatchLoader first(sampler, one, {.rank = 0, .ranks = 2, .first = 3, .last = 4});
  BatchLoader second(sampler, one, {.rank = 1, .ranks = 2, .first = 3, .last = 4});
  const SampleBatch a = first.Next(), b = second.Next(), both = whole.Next();
  EXPECT_TRUE(at::cat({a.image, b.image}).equal(both.image));
  EXPECT_TRUE(at::cat({a.template_labels, b.template_labels}).equal(both.template_labels));
}

TEST(BatchLoader, MayEndBeforeItsBatchesAreTaken) {
  const std::vector<PreparedCase> cases = ThreeCases();
  const Plan plan = PlanOf(2);
  const Sampler sampler(cases, plan, {}, {}, 7);
  const BatchLoader loader(sampler, plan, {.first = 0, .last = 100});
}

// Two ranks with half a batch each have, on average, the gradient of the whole batch.
TEST(GradientSum, OfTwoRanksIsThatOfTheWholeBatch) {
  const std::vector<PreparedCase> cases = ThreeCases();
  const Plan two = PlanOf(2), one = PlanOf(1);
  const Sampler sampler(cases, two, {}, {}, 7);
  const auto gradients = [&](const Plan& plan, comm::Communicator& ranks) {
    TemplateNetwork network(plan, {}, 1);
    network.parameters().RequireGrad(true);
    std::vector<at::Tensor> values;
    for (const nn::Parameter& p : network.parameters().all()) values.push_back(p.value);
    BatchLoader loader(sampler, plan,
                       {.rank = ranks.rank(), .ranks = ranks.size(), .first = 0, .last = 1});
    const SampleBatch b = loader.Next();
    const auto tokens = network.EncodeTemplate(b.template_image, b.template_labels);
    const Decoded d = network.Decode(network.EncodeImage(b.image), tokens, true);
    SegmentationLoss(d.logits[0], b.labels, {}).total.backward();
    GradientSum sum(ranks, values, c10::Device(c10::kCPU));
    sum.Run();
    std::vector<at::Tensor> mean;
    for (const at::Tensor& v : values)
      mean.push_back((v.grad().defined() ? v.grad() : at::zeros_like(v)) / ranks.size());
    return mean;
  };
  const std::vector<at::Tensor> expected = gradients(two, *comm::OneProcess());
  std::vector<std::vector<at::Tensor>> found(2);
  comm::RunSimulated(2, [&](comm::Communicator& ranks) {
    found[static_cast<size_t>(ranks.rank())] = gradients(one, ranks);
  });
  double largest = 0;
  for (const at::Tensor& e : expected) largest = std::max(largest, e.abs().max().item<double>());
  for (size_t n = 0; n < expected.size(); ++n) {
    EXPECT_TRUE(found[0][n].equal(found[1][n])) << n;
    EXPECT_LT((found[0][n] - expected[n]).abs().max().item<double>(), 1e-5 * largest) << n;
  }
}

// ---- 16 bits

TEST(ComputeType, IsF32OnTheCpuUnlessAskedFor) {
  EXPECT_EQ(ComputeType(Amp::kAuto, c10::Device(c10::kCPU)), at::kFloat);
  EXPECT_EQ(ComputeType(Amp::kBf16, c10::Device(c10::kCPU)), at::kBFloat16);
  EXPECT_EQ(ComputeType(Amp::kAuto, c10::Device(c10::kCUDA, 0)), at::kBFloat16);
  EXPECT_EQ(ComputeType(Amp::kFp16, c10::Device(c10::kCUDA, 0)), at::kHalf);
  EXPECT_THROW(ComputeType(Amp::kFp16, c10::Device(c10::kCPU)), UsageError);
}

TEST(LossScale, HalvesUntilGradientsAreFiniteAndGrowsAgain) {
  LossScale scale(at::kHalf);
  const double first = scale.factor();
  EXPECT_TRUE(scale.Shrink());
  EXPECT_EQ(scale.factor(), first / 2);
  for (int n = 0; n < 1999; ++n) scale.Succeeded();
  EXPECT_EQ(scale.factor(), first / 2);
  scale.Succeeded();
  EXPECT_EQ(scale.factor(), first);
  while (scale.factor() > 1) EXPECT_TRUE(scale.Shrink());
  EXPECT_FALSE(scale.Shrink());  // not the scale's fault
  LossScale none(at::kBFloat16);
  EXPECT_FALSE(none.active());
  EXPECT_FALSE(none.Shrink());
  EXPECT_EQ(none.factor(), 1);
}

// Inputs in 16 bits, arithmetic in 32: what comes out is that of the rounded input, rounded once.
TEST(InstanceNorm, Of16BitsComputesIn32) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({2, 5, 3, 4, 6}).to(at::kBFloat16);
  const at::Tensor weight = at::rand({5}) + 0.5, bias = at::randn({5});
  const at::Tensor y = InstanceNormLeakyRelu(x, weight, bias);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(y.equal(InstanceNormLeakyRelu(x.to(at::kFloat), weight, bias).to(at::kBFloat16)));
}

// The network in bf16 says about what it says in f32, and its gradients reach the f32 weights.
TEST(TemplateNetwork, InBf16IsNearThatInF32) {
  for (const Fusion fuse : {Fusion::kConcat, Fusion::kResidual}) {
    NetworkOptions options;
    options.fuse = fuse;
    TemplateNetwork network(testing::MakePlan({16, 12, 8}, 3, 4), options, 1);
    network.parameters().RequireGrad(true);
    at::manual_seed(1);
    const at::Tensor image = at::randn({2, 1, 8, 12, 16}), example = at::randn({2, 1, 8, 12, 16});
    const at::Tensor labels = at::randint(0, 3, {2, 8, 12, 16}).to(at::kByte);
    const auto run = [&] {
      const auto tokens = network.EncodeTemplate(example, labels);
      return network.Decode(network.EncodeImage(image), tokens, true).logits[0];
    };
    const at::Tensor full = run();
    network.SetComputeType(at::kBFloat16);
    const at::Tensor half = run();
    EXPECT_EQ(half.scalar_type(), at::kFloat);
    const double apart = ((half - full).square().mean() / full.square().mean()).item<double>();
    EXPECT_GT(apart, 0);
    EXPECT_LT(std::sqrt(apart), 0.03);
    SegmentationLoss(half, labels, {}).total.backward();
    for (const nn::Parameter& p : network.parameters().all()) {
      if (!p.value.grad().defined()) continue;
      EXPECT_EQ(p.value.grad().scalar_type(), at::kFloat) << p.name;
      EXPECT_TRUE(p.value.grad().isfinite().all().item<bool>()) << p.name;
    }
  }
}

}  // namespace
}  // namespace orchard::segment
