// The segmentation network on the device against the CPU: norm, forward and backward passes,
// windows, and training.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "comm/device_ranks.h"
#include "comm/simulated.h"
#include "gpu/device_array.h"
#include "nn/device.h"
#include "nn/fused_launch.h"
#include "nn/optimizer.h"
#include "segment/batch_loader.h"
#include "segment/cosine_attention.h"
#include "segment/gradient_sum.h"
#include "segment/instance_norm.h"
#include "segment/mixed_precision.h"
#include "segment/predictor.h"
#include "segment/segmentation_loss.h"
#include "segment/template_network.h"
#include "unit/segment/made_case.h"

namespace orchard::segment {
namespace {

const c10::Device kGpu(c10::kCUDA, 0), kCpu(c10::kCPU);

class SegmentGpu : public gpu::DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    nn::LoadCudaBackend();
    nn::AllowTf32(false);
  }
};

double Apart(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor f = found.detach().cpu().to(at::kDouble),
                   e = expected.detach().cpu().to(at::kDouble);
  if (!f.isfinite().all().item<bool>()) return INFINITY;
  return (f - e).abs().max().item<double>() / std::max(1e-6, e.abs().max().item<double>());
}

// The root of the mean square of the difference, of that of what is expected: for gradients, where
// rounding may turn the sign of a value near zero, and with it one whole element.
double MeanApart(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor f = found.detach().cpu().to(at::kDouble),
                   e = expected.detach().cpu().to(at::kDouble);
  if (!f.isfinite().all().item<bool>()) return INFINITY;
  const double scale = e.square().mean().sqrt().item<double>();
  return (f - e).square().mean().sqrt().item<double>() / std::max(1e-6, scale);
}

// ---- norm

struct NormShape {
  int64_t batch, channels, k, j, i;
};
// Vectors of channels and single channels; one row; more channels than threads; several blocks.
const NormShape kNormShapes[] = {{1, 1, 1, 1, 2},   {2, 16, 9, 8, 7},  {1, 5, 3, 4, 5},
                                 {2, 320, 2, 3, 4}, {1, 33, 30, 9, 8}, {1, 2056, 1, 2, 3},
                                 {2, 8, 40, 56, 40}};

void CompareNorm(at::ScalarType type, double tolerance, double gradient_tolerance) {
  for (const NormShape& s : kNormShapes) {
    at::manual_seed(1);
    const at::Tensor x = (at::randn({s.batch, s.channels, s.k, s.j, s.i}) * 2 + 3).to(type);
    const at::Tensor dy = at::randn(x.sizes()).to(type);
    const auto statistics = type == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor weight = (at::rand({s.channels}) + 0.5).to(statistics);
    const at::Tensor bias = (at::randn({s.channels}) * 0.5).to(statistics);
    std::vector<std::vector<at::Tensor>> results;
    for (const c10::Device device : {kCpu, kGpu}) {
      std::vector<at::Tensor> leaves;
      for (const at::Tensor& t : {x, weight, bias})
        leaves.push_back(t.detach().to(device).clone().requires_grad_(true));
      const at::Tensor y = InstanceNormLeakyRelu(leaves[0], leaves[1], leaves[2]);
      EXPECT_EQ(y.scalar_type(), type);
      y.backward(dy.to(device));
      results.push_back({y, leaves[0].grad(), leaves[1].grad(), leaves[2].grad()});
    }
    EXPECT_LT(Apart(results[1][0], results[0][0]), tolerance) << s.channels << " channels";
    for (size_t n = 1; n < 4; ++n) {
      EXPECT_LT(MeanApart(results[1][n], results[0][n]), gradient_tolerance)
          << "gradient " << n << " of " << s.channels << " channels, " << c10::toString(type);
    }
  }
}

TEST_F(SegmentGpu, NormAgreesWithTheTwin) {
  CompareNorm(at::kDouble, 1e-12, 1e-10);
  CompareNorm(at::kFloat, 1e-5, 2e-3);
}

TEST_F(SegmentGpu, NormOf16BitsIsThatOfTheRoundedInput) {
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    for (const NormShape& s : kNormShapes) {
      at::manual_seed(1);
      const at::Tensor x = at::randn({s.batch, s.channels, s.k, s.j, s.i}).to(type).to(kGpu);
      const at::Tensor dy = at::randn(x.sizes()).to(type).to(kGpu);
      const at::Tensor weight = at::ones({s.channels}, x.options().dtype(at::kFloat));
      const at::Tensor bias = at::zeros_like(weight);
      std::vector<at::Tensor> y, dx;
      for (const at::ScalarType compute : {at::kFloat, type}) {
        const at::Tensor leaf = x.to(compute).clone().requires_grad_(true);
        y.push_back(InstanceNormLeakyRelu(leaf, weight, bias));
        y.back().backward(dy.to(compute));
        dx.push_back(leaf.grad());
      }
      EXPECT_LT(Apart(y[1], y[0]), 0.01);
      EXPECT_LT(MeanApart(dx[1], dx[0]), 0.01);
    }
  }
}

TEST_F(SegmentGpu, NormIsTheSameInEveryRun) {
  const at::Tensor x = at::randn({2, 24, 30, 31, 32}, at::TensorOptions().device(kGpu));
  const at::Tensor weight = at::ones({24}, x.options()), bias = at::zeros({24}, x.options());
  EXPECT_TRUE(InstanceNormLeakyRelu(x, weight, bias).equal(InstanceNormLeakyRelu(x, weight, bias)));
}

// ---- attention and loss through autograd

TEST_F(SegmentGpu, AttentionAgreesThroughAutograd) {
  at::manual_seed(2);
  const at::Tensor q = at::randn({2, 70, 16}), k = at::randn({2, 90, 16}),
                   v = at::randn({2, 90, 24});
  const at::Tensor mu = at::softmax(at::randn({2, 3, 90}) * 4, 1);
  const at::Tensor tau = at::full({1}, 11.0), beta = at::full({1}, 9.0);
  const at::Tensor d = at::randn({2, 70, 24});
  std::vector<std::vector<at::Tensor>> results;
  for (const c10::Device device : {kCpu, kGpu}) {
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& t : {q, k, v, tau, beta})
      leaves.push_back(t.to(device).clone().requires_grad_(true));
    const AttentionResult a =
        CosineAttention(leaves[0], {leaves[1], leaves[2], mu.to(device)}, leaves[3], leaves[4]);
    ((a.context * d.to(device)).sum() + a.similarity.square().sum()).backward();
    results.push_back({a.context, a.similarity, a.weight});
    for (const at::Tensor& leaf : leaves) results.back().push_back(leaf.grad());
  }
  for (size_t n = 0; n < results[0].size(); ++n)
    EXPECT_LT(Apart(results[1][n], results[0][n]), 2e-4) << n;
}

TEST_F(SegmentGpu, LossAgreesThroughAutograd) {
  at::manual_seed(3);
  const at::Tensor logits = at::randn({2, 4, 5, 6, 7});
  at::Tensor labels = at::randint(0, 4, {2, 5, 6, 7}).to(at::kByte);
  labels[0][1].fill_(255);
  for (const bool batch_dice : {false, true}) {
    std::vector<at::Tensor> loss, gradient;
    for (const c10::Device device : {kCpu, kGpu}) {
      const at::Tensor leaf = logits.to(device).clone().requires_grad_(true);
      const LossParts parts = SegmentationLoss(leaf, labels.to(device),
                                               {.ce = 0.7, .dice = 1.3, .batch_dice = batch_dice});
      (2 * parts.total).backward();
      loss.push_back(parts.total);
      gradient.push_back(leaf.grad());
    }
    EXPECT_LT(Apart(loss[1], loss[0]), 1e-5);
    EXPECT_LT(Apart(gradient[1], gradient[0]), 1e-4);
  }
}

// ---- network

struct Variant {
  AttentionKind attention;
  TemplateMode mode;
  Fusion fuse;
};
const Variant kVariants[] = {{AttentionKind::kPairwise, TemplateMode::kJoint, Fusion::kConcat},
                             {AttentionKind::kPairwise, TemplateMode::kPerClass, Fusion::kResidual},
                             {AttentionKind::kPrototype, TemplateMode::kJoint, Fusion::kConcat},
                             {AttentionKind::kWindow, TemplateMode::kJoint, Fusion::kConcat},
                             {AttentionKind::kMean, TemplateMode::kJoint, Fusion::kConcat},
                             {AttentionKind::kDot, TemplateMode::kJoint, Fusion::kConcat},
                             {AttentionKind::kNone, TemplateMode::kJoint, Fusion::kConcat},
                             {AttentionKind::kOff, TemplateMode::kJoint, Fusion::kConcat}};

// Logits and the gradient of every parameter, by name.
struct Passed {
  at::Tensor logits;
  std::map<std::string, at::Tensor> gradients;
};

Passed Pass(const NetworkOptions& options, c10::Device device, at::ScalarType compute) {
  TemplateNetwork network(testing::MakePlan({16, 12, 8}, 3, 8), options, 1);
  network.MoveTo(device);
  network.SetComputeType(compute);
  network.parameters().RequireGrad(true);
  at::manual_seed(1);
  const at::Tensor image = at::randn({2, 1, 8, 12, 16}).to(device);
  const at::Tensor example = at::randn({2, 1, 8, 12, 16}).to(device);
  const at::Tensor labels = at::randint(0, 3, {2, 8, 12, 16}).to(at::kByte).to(device);
  std::vector<TemplateTokens> tokens;
  if (network.uses_template()) tokens = network.EncodeTemplate(example, labels);
  const Decoded d = network.Decode(network.EncodeImage(image), tokens, true);
  SegmentationLoss(d.logits[0], labels, {}).total.backward();
  Passed p{d.logits[0].detach().cpu(), {}};
  for (const nn::Parameter& parameter : network.parameters().all())
    if (parameter.value.grad().defined())
      p.gradients[parameter.name] = parameter.value.grad().cpu();
  return p;
}

TEST_F(SegmentGpu, EveryNetworkComputesTheSameInF32) {
  for (const Variant& v : kVariants) {
    NetworkOptions options;
    options.attention = v.attention;
    options.mode = v.mode;
    options.fuse = v.fuse;
    const Passed cpu = Pass(options, kCpu, at::kFloat), gpu = Pass(options, kGpu, at::kFloat);
    EXPECT_LT(Apart(gpu.logits, cpu.logits), 1e-3);
    ASSERT_EQ(gpu.gradients.size(), cpu.gradients.size());
    double largest = 0;
    for (const auto& [name, g] : cpu.gradients)
      largest = std::max(largest, g.abs().max().item<double>());
    for (const auto& [name, g] : cpu.gradients) {
      EXPECT_LT((gpu.gradients.at(name) - g).abs().max().item<double>(), 5e-3 * largest) << name;
    }
  }
}

TEST_F(SegmentGpu, In16BitsTheNetworkIsNearItself) {
  for (const at::ScalarType compute : {at::kBFloat16, at::kHalf}) {
    const Passed full = Pass({}, kGpu, at::kFloat), half = Pass({}, kGpu, compute);
    const double apart =
        ((half.logits - full.logits).square().mean() / full.logits.square().mean()).item<double>();
    EXPECT_GT(apart, 0);
    EXPECT_LT(std::sqrt(apart), 0.05);
    for (const auto& [name, g] : half.gradients) {
      EXPECT_EQ(g.scalar_type(), at::kFloat) << name;
      EXPECT_TRUE(g.isfinite().all().item<bool>()) << name;
    }
  }
}

// ---- prediction

TEST_F(SegmentGpu, PredictsNearlyTheSameLabels) {
  const Plan plan = testing::MakePlan({16, 16, 16}, 3, 8);
  const TemplateBank bank =
      MakeBank({testing::MakeCase("a", {20, 16, 14}, 1), testing::MakeCase("b", {16, 16, 16}, 2)},
               NumberedLabels(2), 0);
  ThreadPool pool(2);
  for (const TemplateAlign align :
       {TemplateAlign::kRelative, TemplateAlign::kGlobal, TemplateAlign::kSearch}) {
    InferenceOptions options;
    options.templates = 2;
    options.align = align;
    options.tta = {0};
    const PreparedCase c = testing::MakeCase("c", {21, 17, 30}, 3);
    std::vector<std::vector<uint8_t>> labels;
    std::vector<std::vector<float>> planes;
    for (const c10::Device device : {kCpu, kGpu}) {
      TemplateNetwork network(plan, {}, 7);
      network.MoveTo(device);
      Predictor predictor(network, bank, options, 0, pool);
      labels.push_back(predictor.Segment(c.image, "c").labels);
      const std::vector<size_t> templates = predictor.Choose(c.image, "c");
      std::vector<float>& all = planes.emplace_back();
      predictor.Logits(c.image, templates, [&](int64_t, int64_t count, const float* values) {
        all.insert(all.end(), values, values + 3 * count * 21 * 17);
      });
    }
    size_t differ = 0;
    for (size_t v = 0; v < labels[0].size(); ++v) differ += labels[0][v] != labels[1][v] ? 1 : 0;
    EXPECT_LT(differ, labels[0].size() / 200) << "of " << labels[0].size();
    ASSERT_EQ(planes[0].size(), planes[1].size());
    double largest = 0, scale = 0;
    for (size_t n = 0; n < planes[0].size(); ++n) {
      largest = std::max(largest, std::abs(static_cast<double>(planes[0][n] - planes[1][n])));
      scale = std::max(scale, std::abs(static_cast<double>(planes[0][n])));
    }
    EXPECT_LT(largest, 2e-3 * scale);
  }
}

// ---- training

// The losses of some steps.
std::vector<double> Train(c10::Device device, at::ScalarType compute, int steps) {
  const std::vector<PreparedCase> cases = {testing::MakeCase("a", {20, 18, 16}, 1),
                                           testing::MakeCase("b", {18, 20, 16}, 2)};
  const Plan plan = testing::MakePlan({16, 16, 16}, 2, 8);
  TemplateNetwork network(plan, {}, 1);
  network.MoveTo(device);
  network.SetComputeType(compute);
  network.parameters().RequireGrad(true);
  std::vector<nn::OptimizedTensor> tensors;
  for (const nn::Parameter& p : network.parameters().all()) tensors.push_back({p.name, p.value});
  nn::Optimizer optimizer(tensors, {.name = nn::OptimizerKind::kSgd,
                                    .momentum = 0.9,
                                    .nesterov = true,
                                    .weight_decay = 0,
                                    .clip = 12});
  const Sampler sampler(cases, plan, {}, {}, 7);
  BatchLoader loader(sampler, plan, {.first = 0, .last = steps, .threads = 2, .device = device});
  LossScale scale(compute);
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) {
    const SampleBatch b = loader.Next();
    EXPECT_EQ(b.image.device(), device);
    optimizer.ClearGradients();
    const auto tokens = network.EncodeTemplate(b.template_image, b.template_labels);
    const Decoded d = network.Decode(network.EncodeImage(b.image), tokens, true);
    const at::Tensor loss = SegmentationLoss(d.logits[0], b.labels, {}).total;
    losses.push_back(loss.item<double>());
    (loss * scale.factor()).backward();
    optimizer.Step(0.02, 1 / scale.factor());
  }
  return losses;
}

TEST_F(SegmentGpu, TrainsAsTheCpuDoes) {
  const std::vector<double> cpu = Train(kCpu, at::kFloat, 6), gpu = Train(kGpu, at::kFloat, 6);
  for (size_t n = 0; n < cpu.size(); ++n) EXPECT_NEAR(gpu[n], cpu[n], 5e-3) << n;
}

TEST_F(SegmentGpu, LearnsIn16Bits) {
  const std::vector<double> full = Train(kGpu, at::kFloat, 40);
  const std::vector<double> half = Train(kGpu, at::kBFloat16, 40);
  EXPECT_LT(half.back(), half.front() - 0.2);
  EXPECT_NEAR(half.back(), full.back(), 0.15);
}

TEST_F(SegmentGpu, DeterministicTrainingRepeatsItself) {
  nn::UseDeterministicAlgorithms(true);
  const std::vector<double> once = Train(kGpu, at::kBFloat16, 5);
  EXPECT_EQ(Train(kGpu, at::kBFloat16, 5), once);
  nn::UseDeterministicAlgorithms(false);
}

// ---- ranks

TEST_F(SegmentGpu, RanksThatShareAGpuAddTheirGradientsInOrder) {
  comm::RunSimulated(3, [](comm::Communicator& ranks) {
    std::vector<at::Tensor> values, expected;
    for (const int64_t size : {7, 1000}) {
      at::Tensor value = at::zeros({size}, at::TensorOptions().device(kGpu));
      value.mutable_grad() = at::arange(size, value.options()) * (ranks.rank() + 0.1);
      values.push_back(value);
      at::Tensor sum = at::arange(size, at::kFloat) * 0.1;
      for (int r = 1; r < 3; ++r) sum = sum + at::arange(size, at::kFloat) * (r + 0.1);
      expected.push_back(sum);
    }
    GradientSum sum(ranks, values, kGpu);
    sum.Run();
    for (size_t n = 0; n < values.size(); ++n)
      EXPECT_TRUE(values[n].grad().cpu().equal(expected[n]));
  });
}

// One rank is all that one GPU can give NCCL: a sum of one, on the right stream, in place.
TEST_F(SegmentGpu, NcclServesARankWithAGpuOfItsOwn) {
  const auto one = comm::OneProcess();
  const at::Tensor x = at::arange(1000, at::TensorOptions().dtype(at::kFloat).device(kGpu));
  const auto ranks = comm::OpenDeviceRanks(*one, 0, nn::CurrentStream(x));
  if (ranks->engine() != "NCCL") GTEST_SKIP() << "NCCL cannot be loaded";
  const at::Tensor before = x.clone();
  ranks->AllReduce(comm::Buffer(x.mutable_data_ptr(), x.numel(), io::DType::kF32));
  EXPECT_TRUE(x.equal(before));
  const at::Tensor y = at::zeros_like(x);
  ranks->AllGather(comm::ConstBuffer(x.const_data_ptr(), x.numel(), io::DType::kF32),
                   comm::Buffer(y.mutable_data_ptr(), y.numel(), io::DType::kF32));
  EXPECT_TRUE(y.equal(before));
}

}  // namespace
}  // namespace orchard::segment
